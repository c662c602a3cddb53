with

versions as (

    select * from {{ ref('base_shop__campaigns') }}
    where
        campaign_id is not null
        and {{ opens_a_version('shop', 'campaigns') }}

),

history as (

    select * from {{ type_2([
        'campaign_id', 'campaign_name', 'channel', 'discount_rate', 'starts_on', 'ends_on',
        'created_at',
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
        transactions.campaign_id,
        cast(null as {{ dbt.type_string() }}) as campaign_name,
        'unknown' as channel,
        cast(null as decimal(5, 4)) as discount_rate,
        cast(null as date) as starts_on,
        cast(null as date) as ends_on,
        cast(null as {{ timestamp_type() }}) as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'inferred' as member_kind
    from transactions
    left join history
        on transactions.campaign_id = history.campaign_id
    where
        transactions.campaign_id is not null
        and history.campaign_id is null

),

members as (

    select * from known_members
    union all
    select * from inferred_members

),

keyed as (

    select
        {{ member_key(
            'campaign', [('campaign_id', 'int'), ('valid_from', 'timestamp')]
        ) }} as campaign_key,
        members.*
    from members

),

with_special_members as (

    select * from keyed

    union all

    select
        {{ unknown_key() }} as campaign_key,
        null as campaign_id,
        null as campaign_name,
        'unknown' as channel,
        null as discount_rate,
        null as starts_on,
        null as ends_on,
        null as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'unknown' as member_kind

    union all

    select
        {{ none_key() }} as campaign_key,
        null as campaign_id,
        'no campaign' as campaign_name,
        'none' as channel,
        0 as discount_rate,
        null as starts_on,
        null as ends_on,
        null as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'none' as member_kind

),

final as (

    select
        -- ids
        campaign_key,
        campaign_id,

        -- strings
        campaign_name,
        channel,
        member_kind,

        -- numerics
        cast(discount_rate as decimal(5, 4)) as discount_rate,

        -- booleans
        valid_to = {{ open_end() }} as is_current,

        -- dates
        starts_on,
        ends_on,

        -- timestamps
        created_at,
        valid_from,
        valid_to
    from with_special_members

)

select * from final
