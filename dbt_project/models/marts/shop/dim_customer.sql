{%- set upstreams = ['log_shop__customers', 'stg_shop__transactions'] -%}
{{ follow(upstreams, key='customer_id', affected='affected_customer_members') }}
{%- set tracked = [
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
] %}

with

versions as (

    select *
    from {{ type_2_versions(
        'shop', 'customers', 'customer_id', tracked, affected_customer_members, upstreams
    ) }} as replayed

),

transactions as (

    select * from {{ ref('stg_shop__transactions') }}
    where
        not is_deleted
        and {{ is_affected('customer_id', affected_customer_members, upstreams) }}

),

known_members as (

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
        'known' as member_kind,
        created_at,
        valid_from,
        valid_to
    from versions

),

inferred_members as (

    select distinct
        transactions.customer_id,
        cast(null as {{ dbt.type_string() }}) as first_name,
        cast(null as {{ dbt.type_string() }}) as last_name,
        cast(null as {{ dbt.type_string() }}) as email,
        cast(null as {{ dbt.type_string() }}) as phone,
        cast(null as {{ dbt.type_string() }}) as street,
        cast(null as {{ dbt.type_string() }}) as postal_code,
        cast(null as {{ dbt.type_string() }}) as city,
        'unknown' as country_code,
        'unknown' as segment,
        'inferred' as member_kind,
        cast(null as {{ timestamp_type() }}) as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to
    from transactions
    left join versions
        on transactions.customer_id = versions.customer_id
    where
        transactions.customer_id is not null
        and versions.customer_id is null

),

members as (

    select * from known_members
    union all
    select * from inferred_members

),

keyed as (

    select
        {{ member_key(
            'customer', [('customer_id', 'int'), ('valid_from', 'timestamp')]
        ) }} as customer_key,
        members.*
    from members

),

with_unknown as (

    select * from keyed

    {% if not is_incremental() -%}
    union all

    select
        {{ unknown_key() }} as customer_key,
        null as customer_id,
        null as first_name,
        null as last_name,
        null as email,
        null as phone,
        null as street,
        null as postal_code,
        null as city,
        'unknown' as country_code,
        'unknown' as segment,
        'unknown' as member_kind,
        null as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to
    {%- endif %}

),

final as (

    select
        -- ids
        customer_key,
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
        member_kind,

        -- booleans
        valid_to = {{ open_end() }} as is_current,

        -- timestamps
        created_at,
        valid_from,
        valid_to
    from with_unknown

)

select * from final
