with

versions as (

    select * from {{ ref('base_shop__products') }}

),

current_versions as (

    select * from {{ current_version() }}

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

        -- timestamps
        created_at,
        updated_at,

        -- rules
        {{ broken_rules('shop', 'products') }} as broken_rules,
        _unrepresentable,

        -- lineage
        is_deleted,
        deleted_at,
        first_seen_at,
        last_seen_at,
        _record_key,
        _extracted_at,
        _batch_id
    from current_versions

)

select * from renamed
