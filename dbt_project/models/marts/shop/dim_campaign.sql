with

campaigns as (

    select * from {{ ref('stg_shop__campaigns') }}
    where broken_rules = ''

),

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}

),

known_members as (

    select
        campaign_id,
        campaign_name,
        channel,
        'known' as member_kind,
        discount_rate,
        is_deleted,
        starts_on,
        ends_on
    from campaigns

),

inferred_members as (

    select distinct
        transactions.campaign_id,
        cast(null as {{ dbt.type_string() }}) as campaign_name,
        'unknown' as channel,
        'inferred' as member_kind,
        cast(null as decimal(5, 4)) as discount_rate,
        false as is_deleted,
        cast(null as date) as starts_on,
        cast(null as date) as ends_on
    from transactions
    left join campaigns
        on transactions.campaign_id = campaigns.campaign_id
    where
        transactions.campaign_id is not null
        and campaigns.campaign_id is null

),

members as (

    select * from known_members
    union all
    select * from inferred_members

),

keyed as (

    select
        {{ member_key('campaign', [('campaign_id', 'int')]) }} as campaign_key,
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
        'unknown' as member_kind,
        null as discount_rate,
        false as is_deleted,
        null as starts_on,
        null as ends_on

    union all

    select
        {{ none_key() }} as campaign_key,
        null as campaign_id,
        'no campaign' as campaign_name,
        'none' as channel,
        'none' as member_kind,
        0 as discount_rate,
        false as is_deleted,
        null as starts_on,
        null as ends_on

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
        is_deleted,

        -- dates
        starts_on,
        ends_on
    from with_special_members

)

select * from final
