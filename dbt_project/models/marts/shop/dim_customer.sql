with

versions as (

    select * from {{ ref('base_shop__customers') }}
    where
        customer_id is not null
        and {{ opens_a_version('shop', 'customers') }}

),

history as (

    select * from {{ type_2([
        'customer_id', 'first_name', 'last_name', 'email', 'phone', 'street',
        'postal_code', 'city', 'country_code', 'segment', 'created_at',
    ]) }} as replayed

),

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}

),

known_members as (

    select
        history.*,
        'known' as member_kind
    from history

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
        cast(null as {{ timestamp_type() }}) as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'inferred' as member_kind
    from transactions
    left join history
        on transactions.customer_id = history.customer_id
    where
        transactions.customer_id is not null
        and history.customer_id is null

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
        null as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'unknown' as member_kind

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
