-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

customers as (

    select * from {{ ref('stg_shop__customers') }}
    where broken_rules <> ''

),

quarantined as (

    select
        customers.*,
        {{ rule_version('shop', 'customers') }} as rule_version
    from customers

)

select * from quarantined
