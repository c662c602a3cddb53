-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

transaction_items as (

    select * from {{ ref('int_shop__transaction_items_validated') }}
    where broken_rules <> ''

),

quarantined as (

    select
        transaction_items.*,
        {{ rule_version('shop', 'transaction_items') }} as rule_version
    from transaction_items

)

select * from quarantined
