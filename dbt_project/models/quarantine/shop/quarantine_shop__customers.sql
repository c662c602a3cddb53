{%- set upstreams = ['int_shop__customers_judged'] -%}
{{ follow(upstreams, key='customer_id', affected='affected_customers', keeps_null_keys=true) }}

with

source as (

    select * from {{ ref('int_shop__customers_judged') }}
    where
        broken_rules <> ''
        and {{ is_affected('customer_id', affected_customers, upstreams, keeps_null_keys=true) }}

),

keyed as (

    select
        coalesce(keyless_content, {{ surrogate_key([('customer_id', 'int')]) }}) as quarantine_key,

        -- payload
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
