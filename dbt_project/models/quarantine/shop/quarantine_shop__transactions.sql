with

transactions as (

    select * from {{ ref('stg_shop__transactions') }}

),

validated as (

    select * from {{ ref('int_shop__transactions_validated') }}
    where broken_rules <> ''

),

quarantined as (

    select
        {{ star(ref('stg_shop__transactions'), 'transactions', except=['broken_rules']) }},
        validated.broken_rules,
        {{ rule_version('shop', 'transactions') }} as rule_version
    from transactions
    inner join validated
        on transactions._record_key = validated._record_key

)

select * from quarantined
