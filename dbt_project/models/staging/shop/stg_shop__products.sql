{%- set upstreams = ['int_shop__products_judged'] -%}
{{ follow(upstreams, key='product_id', affected='affected_products') }}

with

source as (

    select * from {{ ref('int_shop__products_judged') }}
    where
        broken_rules = ''
        and {{ is_affected('product_id', affected_products, upstreams) }}

),

renamed as (

    select
        -- ids
        product_id,

        -- strings
        sku,
        product_name,
        category,

        -- numerics
        unit_price,

        -- booleans
        is_active,
        is_deleted,

        -- timestamps
        created_at,
        updated_at,
        deleted_at,

        -- lineage
        _extracted_at,
        _batch_id
    from source

)

select * from renamed
