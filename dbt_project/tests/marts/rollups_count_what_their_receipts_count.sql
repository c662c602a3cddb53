-- A failing row is a roll-up of sales that does not add up to the receipts it counts.
{% set rollups = [
    'fct_sales_day', 'fct_sales_month', 'fct_sales_quarter', 'fct_sales_campaign', 'fct_sales_city',
] -%}
with

receipts as (

    select
        coalesce(sum(case when status = 'completed' then 1 else 0 end), 0) as receipt_count,
        coalesce(sum(case when status = 'completed' then quantity else 0 end), 0) as quantity,
        coalesce(sum(revenue_amount), 0) as revenue_amount,
        coalesce(sum(net_amount), 0) as net_amount
    from {{ ref('fct_receipts') }}

),

rollups as (

    {% for rollup in rollups -%}
    select
        '{{ rollup }}' as mart,
        coalesce(sum(receipt_count), 0) as receipt_count,
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue_amount), 0) as revenue_amount,
        coalesce(sum(gross_amount - discount_amount), 0) as gross_less_discount,
        coalesce(sum(revenue_amount + pending_amount + refunded_amount), 0) as net_amount
    from {{ ref(rollup) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    rollups.*,
    receipts.receipt_count as receipt_count_of_receipts,
    receipts.net_amount as net_amount_of_receipts
from rollups
cross join receipts
where
    rollups.receipt_count <> receipts.receipt_count
    or rollups.quantity <> receipts.quantity
    or rollups.revenue_amount <> receipts.revenue_amount
    or rollups.gross_less_discount <> receipts.revenue_amount
    or rollups.net_amount <> receipts.net_amount
