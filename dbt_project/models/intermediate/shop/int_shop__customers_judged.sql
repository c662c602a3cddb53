{%- set upstreams = ['log_shop__customers'] -%}
{{ follow(upstreams, key='customer_id', affected='affected_customers', keeps_null_keys=true) }}
{%- set content = [
    ('customer_id', 'int'),
    ('first_name', 'text'),
    ('last_name', 'text'),
    ('email', 'text'),
    ('phone', 'text'),
    ('street', 'text'),
    ('postal_code', 'text'),
    ('city', 'text'),
    ('country_code', 'text'),
    ('segment', 'text'),
    ('created_at', 'timestamp'),
    ('updated_at', 'timestamp'),
] %}

with

versions as (

    select * from {{ ref('log_shop__customers') }}
    where {{ is_affected('customer_id', affected_customers, upstreams, keeps_null_keys=true) }}

),

current_versions as (

    select * from {{ current_versions('customer_id', content) }}

),

judged as (

    select
        customer_id,
        first_name,
        last_name,
        email,
        phone,
        street,
        postal_code,
        city,
        country_code,
        segment,
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
        {{ verdict('shop', 'customers', 'customer_id') }} as broken_rules,
        {{ rule_version('shop', 'customers', 'customer_id') }} as rule_version
    from current_versions

)

select * from judged
