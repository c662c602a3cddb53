with

transactions as (

    select * from {{ ref('stg_shop__transactions') }}
    where not is_deleted

),

validated as (

    select * from {{ ref('int_shop__transactions_validated') }}
    where broken_rules = ''

),

accepted as (

    select transactions.*
    from transactions
    inner join validated
        on transactions._record_key = validated._record_key

)

select * from accepted
