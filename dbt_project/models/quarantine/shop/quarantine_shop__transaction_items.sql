with

transaction_items as (

    select * from {{ ref('stg_shop__transaction_items') }}

),

validated as (

    select * from {{ ref('int_shop__transaction_items_validated') }}
    where broken_rules <> ''

),

quarantined as (

    select
        {{ star(ref('stg_shop__transaction_items'), 'transaction_items', except=['broken_rules']) }},
        validated.broken_rules,
        {{ rule_version('shop', 'transaction_items') }} as rule_version
    from transaction_items
    inner join validated
        on transaction_items._record_key = validated._record_key

)

select * from quarantined
