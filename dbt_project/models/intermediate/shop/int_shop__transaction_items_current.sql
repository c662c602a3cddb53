{%- set upstreams = ['log_shop__transaction_items'] -%}
{{ follow(
    upstreams, key='transaction_item_id', affected='landed_transaction_items', keeps_null_keys=true
) }}
{%- set content = [
    ('transaction_item_id', 'int'),
    ('transaction_id', 'int'),
    ('line_number', 'int'),
    ('product_id', 'int'),
    ('quantity', 'int'),
    ('unit_price', 'decimal(12,2)'),
    ('discount_amount', 'decimal(12,2)'),
    ('line_amount', 'decimal(12,2)'),
    ('created_at', 'timestamp'),
    ('updated_at', 'timestamp'),
] %}

with

versions as (

    select * from {{ ref('log_shop__transaction_items') }}
    where
        {{ is_affected(
            'transaction_item_id', landed_transaction_items, upstreams, keeps_null_keys=true
        ) }}

),

current_versions as (

    select * from {{ current_versions('transaction_item_id', content) }}

),

judged_alone as (

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
        {{ broken_rules('shop', 'transaction_items', 'transaction_item_id', ['row']) }}
            as broken_row_rules
    from current_versions

)

select * from judged_alone
