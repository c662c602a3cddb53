-- Passes on all columns, whatever there are.
-- noqa: disable=AM04
with

transaction_items as (

    select * from {{ ref('int_shop__transaction_items_validated') }}

),

accepted as (

    select * from transaction_items
    where
        broken_rules = ''
        and not is_deleted

)

select * from accepted
