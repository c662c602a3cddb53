{%- set upstreams = ['int_shop__transaction_items_judged'] -%}
{{ follow(
    upstreams, key='transaction_item_id', affected='affected_transaction_items', keeps_null_keys=true
) }}

with

source as (

    select * from {{ ref('int_shop__transaction_items_judged') }}
    where
        broken_rules <> ''
        and {{ is_affected(
            'transaction_item_id', affected_transaction_items, upstreams, keeps_null_keys=true
        ) }}

),

keyed as (

    select
        coalesce(
            keyless_content, {{ surrogate_key([('transaction_item_id', 'int')]) }}
        ) as quarantine_key,

        -- payload
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

        -- verdict
        broken_rules,
        rule_version,
        is_deleted,
        deleted_at,
        first_seen_at,
        last_seen_at,
        _extracted_at,
        _batch_id
    from source

)

select * from keyed
