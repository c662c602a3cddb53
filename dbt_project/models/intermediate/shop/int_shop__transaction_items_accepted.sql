with

transaction_items as (

    select * from {{ ref('stg_shop__transaction_items') }}
    where not is_deleted

),

validated as (

    select * from {{ ref('int_shop__transaction_items_validated') }}
    where broken_rules = ''

),

accepted as (

    select transaction_items.*
    from transaction_items
    inner join validated
        on transaction_items._record_key = validated._record_key

)

select * from accepted
