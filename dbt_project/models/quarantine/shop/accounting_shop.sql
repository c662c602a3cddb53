{{ config(materialized='table') }}

{#- Of each table of the shop: the model whose broken_rules decide what is clean. -#}
{%- set tables = {
    'customers': 'stg_shop__customers',
    'products': 'stg_shop__products',
    'campaigns': 'stg_shop__campaigns',
    'transactions': 'int_shop__transactions_validated',
    'transaction_items': 'int_shop__transaction_items_validated',
} %}

with

landed as (

    {% for table in tables -%}
    select
        '{{ table }}' as table_name,
        count(*) as raw_rows,
        count(*) - count(distinct _record_key) as repeated_rows
    from {{ ref('base_shop__' ~ table) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

decided as (

    {% for table, model in tables.items() -%}
    select
        '{{ table }}' as table_name,
        coalesce(sum(case when broken_rules = '' then 1 else 0 end), 0) as clean_rows,
        coalesce(sum(case when broken_rules <> '' then 1 else 0 end), 0) as quarantined_rows
    from {{ ref(model) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

accounted as (

    select
        'shop' as source_name,
        landed.table_name,
        cast(landed.raw_rows as bigint) as raw_rows,
        cast(decided.clean_rows as bigint) as clean_rows,
        cast(decided.quarantined_rows as bigint) as quarantined_rows,
        cast(landed.repeated_rows as bigint) as repeated_rows
    from landed
    inner join decided
        on landed.table_name = decided.table_name

)

select * from accounted
