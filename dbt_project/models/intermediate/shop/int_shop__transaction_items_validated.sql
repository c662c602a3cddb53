-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
{{ config(materialized='incremental', unique_key='_record_key') }}

{#-
    An item is validated together with its transaction, and that with its customer and its other
    items.
-#}
{% call affected_keys() %}
    with

    landed_items as (
        select _record_key from {{ ref('base_shop__transaction_items') }}
        where {{ is_new_commit() }}
    ),

    transactions as (
        select transaction_id from {{ ref('base_shop__transactions') }}
        where
            {{ is_new_commit() }}
            or customer_id in (
                select customer_id from {{ ref('base_shop__customers') }} where {{ is_new_commit() }}
            )
        union
        select transaction_id from {{ ref('base_shop__transaction_items') }}
        where _record_key in (select _record_key from landed_items)
    )

    select _record_key from {{ ref('base_shop__transaction_items') }}
    where
        transaction_id in (select transaction_id from transactions)
        or _record_key in (select _record_key from landed_items)
{% endcall %}

with

items as (

    select * from {{ ref('stg_shop__transaction_items') }}
    where {{ is_affected('_record_key') }}

),

transactions as (

    select * from {{ ref('int_shop__transactions_validated') }}

),

related as (

    select
        items.*,
        not transactions.is_deleted as transaction_is_live,
        transactions.broken_rules = '' as transaction_is_clean
    from items
    left join transactions
        on items.transaction_id = transactions.transaction_id

),

checked as (

    select
        related.*,
        {{ broken_rules('shop', 'transaction_items', scope='related') }} as broken_related_rules
    from related

),

validated as (

    select
        {{ star(ref('stg_shop__transaction_items'), 'checked', except=['broken_rules']) }},
        {{ joined_rules('checked.broken_rules', 'checked.broken_related_rules') }} as broken_rules
    from checked

)

select * from validated
