{%- set upstreams = ['log_shop__campaigns'] -%}
{{ follow(upstreams, key='campaign_id', affected='affected_campaigns', keeps_null_keys=true) }}
{%- set content = [
    ('campaign_id', 'int'),
    ('campaign_name', 'text'),
    ('channel', 'text'),
    ('discount_rate', 'decimal(5,4)'),
    ('starts_on', 'date'),
    ('ends_on', 'date'),
    ('created_at', 'timestamp'),
    ('updated_at', 'timestamp'),
] %}

with

versions as (

    select * from {{ ref('log_shop__campaigns') }}
    where {{ is_affected('campaign_id', affected_campaigns, upstreams, keeps_null_keys=true) }}

),

current_versions as (

    select * from {{ current_versions('campaign_id', content) }}

),

judged as (

    select
        campaign_id,
        campaign_name,
        channel,
        discount_rate,
        starts_on,
        ends_on,
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
        {{ verdict('shop', 'campaigns', 'campaign_id') }} as broken_rules,
        {{ rule_version('shop', 'campaigns', 'campaign_id') }} as rule_version
    from current_versions

)

select * from judged
