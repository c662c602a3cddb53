{{ config(group='shop') }}

-- A failing row is an accepted transaction that is no receipt, or a receipt whose total or any other
-- measure is not what its sales add up to.
{% set measures = [
    'quantity', 'gross_amount', 'discount_amount', 'net_amount', 'revenue_amount',
] -%}
with

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}

),

receipts as (

    select * from {{ ref('fct_receipts') }}

),

sales as (

    select * from {{ ref('fct_sales') }}

),

sales_by_transaction as (

    select
        transaction_id,
        count(*) as line_count,
        {%- for measure in measures %}
        sum({{ measure }}) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from sales
    group by transaction_id

)

select
    transactions.transaction_id as header_transaction_id,
    receipts.transaction_id as receipt_transaction_id,
    sales_by_transaction.transaction_id as sales_transaction_id,
    transactions.total_amount,
    receipts.net_amount as receipt_amount,
    sales_by_transaction.net_amount as sales_amount
from transactions
full outer join receipts
    on transactions.transaction_id = receipts.transaction_id
full outer join sales_by_transaction
    on receipts.transaction_id = sales_by_transaction.transaction_id
where
    transactions.transaction_id is null
    or receipts.transaction_id is null
    or transactions.total_amount <> receipts.net_amount
    or receipts.line_count <> coalesce(sales_by_transaction.line_count, 0)
    {%- for measure in measures %}
    or receipts.{{ measure }} <> coalesce(sales_by_transaction.{{ measure }}, 0)
    {%- endfor %}
