-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
{{ config(materialized='incremental', unique_key='_record_key') }}

{#- A transaction is validated together with its items and its customer. -#}
{% call affected_keys() %}
    select _record_key from {{ ref('base_shop__transactions') }}
    where
        {{ is_new_commit() }}
        or customer_id in (
            select customer_id from {{ ref('base_shop__customers') }} where {{ is_new_commit() }}
        )
        or transaction_id in (
            select transaction_id from {{ ref('base_shop__transaction_items') }}
            where
                _record_key in (
                    select _record_key from {{ ref('base_shop__transaction_items') }}
                    where {{ is_new_commit() }}
                )
        )
{% endcall %}

with

transactions as (

    select * from {{ ref('stg_shop__transactions') }}
    where {{ is_affected('_record_key') }}

),

items as (

    select * from {{ ref('stg_shop__transaction_items') }}
    where not is_deleted

),

customers as (

    select * from {{ ref('stg_shop__customers') }}

),

items_by_transaction as (

    select
        items.transaction_id,
        sum(items.line_amount) as live_items_amount,
        sum(case when items.broken_rules <> '' then 1 else 0 end) as broken_live_items
    from items
    inner join transactions
        on items.transaction_id = transactions.transaction_id
    group by items.transaction_id

),

related as (

    select
        transactions.*,
        customers.created_at as customer_created_at,
        coalesce(items_by_transaction.live_items_amount, 0) as live_items_amount,
        coalesce(items_by_transaction.broken_live_items, 0) as broken_live_items
    from transactions
    left join items_by_transaction
        on transactions.transaction_id = items_by_transaction.transaction_id
    left join customers
        on transactions.customer_id = customers.customer_id

),

checked as (

    select
        related.*,
        {{ broken_rules('shop', 'transactions', scope='related') }} as broken_related_rules
    from related

),

validated as (

    select
        {{ star(ref('stg_shop__transactions'), 'checked', except=['broken_rules']) }},
        {{ joined_rules('checked.broken_rules', 'checked.broken_related_rules') }} as broken_rules
    from checked

)

select * from validated
