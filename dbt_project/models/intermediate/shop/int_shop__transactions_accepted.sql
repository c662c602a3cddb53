-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

transactions as (

    select * from {{ ref('int_shop__transactions_validated') }}

),

accepted as (

    select * from transactions
    where
        broken_rules = ''
        and not is_deleted

)

select * from accepted
