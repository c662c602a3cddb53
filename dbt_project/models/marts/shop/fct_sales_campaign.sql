with

receipts as (

    select * from {{ ref('fct_receipts') }}

),

campaigns as (

    select
        campaign_key,
        campaign_id,
        campaign_name,
        channel,
        {{ responsible_until('campaign_id') }} = {{ open_end() }} as is_last
    from {{ ref('dim_campaign') }}
    where campaign_key <> {{ unknown_key() }}

),

by_campaign as (

    select
        receipts.campaign_id,
        {{ sales_measures() }}
    from receipts
    group by receipts.campaign_id

),

final as (

    select
        campaigns.campaign_key,
        campaigns.campaign_name,
        campaigns.channel,
        by_campaign.*,
        {{ sales_ratios() }}
    from by_campaign
    inner join campaigns
        on
            -- Receipts without a campaign meet the member `no campaign`.
            by_campaign.campaign_id is not distinct from campaigns.campaign_id
            and campaigns.is_last

)

select * from final
