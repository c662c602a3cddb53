with

versions as (

    select * from {{ ref('base_shop__campaigns') }}

),

current_versions as (

    select * from {{ current_version() }}

),

renamed as (

    select
        -- ids
        campaign_id,

        -- strings
        campaign_name,
        channel,

        -- numerics
        discount_rate,

        -- dates
        starts_on,
        ends_on,

        -- timestamps
        created_at,
        updated_at,

        -- rules
        {{ broken_rules('shop', 'campaigns') }} as broken_rules,
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
