{%- set upstreams = ['int_shop__transaction_items_current', 'int_shop__transactions_judged'] -%}
{{ follow(
    upstreams,
    key='transaction_item_id',
    affected='affected_transaction_items',
    keeps_null_keys=true,
) }}

with

items as (

    select * from {{ ref('int_shop__transaction_items_current') }}
    where
        {{ is_affected(
            'transaction_item_id', affected_transaction_items, upstreams, keeps_null_keys=true
        ) }}

),

transactions as (

    select * from {{ ref('int_shop__transactions_judged') }}

),

related as (

    select
        items.transaction_item_id,
        items.transaction_id,
        items.line_number,
        items.product_id,
        items.quantity,
        items.unit_price,
        items.discount_amount,
        items.line_amount,
        items.created_at,
        items.updated_at,
        items._unrepresentable,
        items.keyless_content,
        items.has_version,
        items.is_deleted,
        items.deleted_at,
        items.first_seen_at,
        items.last_seen_at,
        items._extracted_at,
        items._batch_id,
        not transactions.is_deleted as transaction_is_live,
        transactions.broken_rules = '' as transaction_is_clean
    from items
    left join transactions
        on items.transaction_id = transactions.transaction_id

),

judged as (

    select
        transaction_item_id,
        transaction_id,
        line_number,
        product_id,
        quantity,
        unit_price,
        discount_amount,
        line_amount,
        created_at,
        updated_at,
        _unrepresentable,
        keyless_content,
        has_version,
        is_deleted,
        deleted_at,
        first_seen_at,
        last_seen_at,
        _extracted_at,
        _batch_id,
        {{ verdict('shop', 'transaction_items', 'transaction_item_id') }} as broken_rules,
        {{ rule_version('shop', 'transaction_items', 'transaction_item_id') }} as rule_version
    from related

)

select * from judged
