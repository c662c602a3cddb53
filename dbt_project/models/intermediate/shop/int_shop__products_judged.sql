{%- set upstreams = ['log_shop__products'] -%}
{{ follow(upstreams, key='product_id', affected='affected_products', keeps_null_keys=true) }}
{%- set content = [
    ('product_id', 'int'),
    ('sku', 'text'),
    ('product_name', 'text'),
    ('category', 'text'),
    ('unit_price', 'decimal(12,2)'),
    ('is_active', 'bool'),
    ('created_at', 'timestamp'),
    ('updated_at', 'timestamp'),
] %}

with

versions as (

    select * from {{ ref('log_shop__products') }}
    where {{ is_affected('product_id', affected_products, upstreams, keeps_null_keys=true) }}

),

current_versions as (

    select * from {{ current_versions('product_id', content) }}

),

judged as (

    select
        product_id,
        sku,
        product_name,
        category,
        unit_price,
        is_active,
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
        {{ verdict('shop', 'products', 'product_id') }} as broken_rules,
        {{ rule_version('shop', 'products', 'product_id') }} as rule_version
    from current_versions

)

select * from judged
