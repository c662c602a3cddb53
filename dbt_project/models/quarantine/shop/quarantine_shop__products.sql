-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

products as (

    select * from {{ ref('stg_shop__products') }}
    where broken_rules <> ''

),

quarantined as (

    select
        products.*,
        {{ rule_version('shop', 'products') }} as rule_version
    from products

)

select * from quarantined
