{%- set upstreams = ['int_shop__campaigns_judged'] -%}
{{ follow(upstreams, key='campaign_id', affected='affected_campaigns') }}

with

source as (

    select * from {{ ref('int_shop__campaigns_judged') }}
    where
        broken_rules = ''
        and {{ is_affected('campaign_id', affected_campaigns, upstreams) }}

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

        -- booleans
        is_deleted,

        -- dates
        starts_on,
        ends_on,

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
