{%- set upstreams = ['int_shop__customers_judged'] -%}
{{ follow(upstreams, key='customer_id', affected='affected_customers') }}

with

source as (

    select * from {{ ref('int_shop__customers_judged') }}
    where
        broken_rules = ''
        and {{ is_affected('customer_id', affected_customers, upstreams) }}

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

        -- booleans
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
