-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

transactions as (

    select * from {{ ref('int_shop__transactions_validated') }}
    where broken_rules <> ''

),

quarantined as (

    select
        transactions.*,
        {{ rule_version('shop', 'transactions') }} as rule_version
    from transactions

)

select * from quarantined
