{#
    What is counted of a group of receipts, written once for all roll-ups of sales. Only completed
    receipts are revenue; what pending and refunded ones amount to stands beside it, so that
    revenue_amount + pending_amount + refunded_amount is the net amount of all.

    The metrics in `models/marts/shop/_marts_shop__metrics.yml` say the same to the semantic layer; a
    test compares the two.
#}

{# Additive columns of a query over `receipts`, a CTE of `fct_receipts`, which it groups. #}
{% macro sales_measures() -%}
    cast(sum({{ of_completed('1') }}) as bigint) as receipt_count,
    cast(sum({{ of_completed('receipts.quantity') }}) as bigint) as quantity,
    cast(sum({{ of_completed('receipts.gross_amount') }}) as decimal(38, 2)) as gross_amount,
    cast(sum({{ of_completed('receipts.discount_amount') }}) as decimal(38, 2)) as discount_amount,
    cast(sum(receipts.revenue_amount) as decimal(38, 2)) as revenue_amount,
    cast(sum({{ net_of('pending') }}) as decimal(38, 2)) as pending_amount,
    cast(sum({{ net_of('refunded') }}) as decimal(38, 2)) as refunded_amount
{%- endmacro %}


{# The ratios of these columns; NULL where nothing was sold. #}
{% macro sales_ratios() -%}
    {{ exact_ratio('revenue_amount', 'receipt_count') }} as average_receipt,
    {{ exact_ratio('discount_amount * 100', 'gross_amount * 100') }} as discount_rate
{%- endmacro %}


{% macro of_completed(expression) -%}
    case when receipts.status = 'completed' then {{ expression }} else 0 end
{%- endmacro %}


{% macro net_of(status) -%}
    case when receipts.status = '{{ status }}' then receipts.net_amount else 0 end
{%- endmacro %}
