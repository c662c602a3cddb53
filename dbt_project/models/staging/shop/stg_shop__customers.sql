with

versions as (

    select * from {{ ref('base_shop__customers') }}

),

current_versions as (

    select * from {{ current_version() }}

),

renamed as (

    select
        -- ids
        customer_id,

        -- strings
        first_name,
        last_name,
        email,
        phone,
        street,
        postal_code,
        city,
        country_code,
        segment,

        -- timestamps
        created_at,
        updated_at,

        -- rules
        {{ broken_rules('shop', 'customers') }} as broken_rules,
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
