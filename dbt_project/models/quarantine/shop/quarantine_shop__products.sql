{%- set upstreams = ['int_shop__products_judged'] -%}
{{ follow(upstreams, key='product_id', affected='affected_products', keeps_null_keys=true) }}

with

source as (

    select * from {{ ref('int_shop__products_judged') }}
    where
        broken_rules <> ''
        and {{ is_affected('product_id', affected_products, upstreams, keeps_null_keys=true) }}

),

keyed as (

    select
        coalesce(keyless_content, {{ surrogate_key([('product_id', 'int')]) }}) as quarantine_key,

        -- payload
        product_id,
        sku,
        product_name,
        category,
        unit_price,
        is_active,
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
