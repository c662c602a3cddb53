-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

campaigns as (

    select * from {{ ref('stg_shop__campaigns') }}
    where broken_rules <> ''

),

quarantined as (

    select
        campaigns.*,
        {{ rule_version('shop', 'campaigns') }} as rule_version
    from campaigns

)

select * from quarantined
