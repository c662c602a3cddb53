{%- set upstreams = ['int_shop__campaigns_judged'] -%}
{{ follow(upstreams, key='campaign_id', affected='affected_campaigns', keeps_null_keys=true) }}

with

source as (

    select * from {{ ref('int_shop__campaigns_judged') }}
    where
        broken_rules <> ''
        and {{ is_affected('campaign_id', affected_campaigns, upstreams, keeps_null_keys=true) }}

),

keyed as (

    select
        coalesce(keyless_content, {{ surrogate_key([('campaign_id', 'int')]) }}) as quarantine_key,

        -- payload
        campaign_id,
        campaign_name,
        channel,
        discount_rate,
        starts_on,
        ends_on,
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
