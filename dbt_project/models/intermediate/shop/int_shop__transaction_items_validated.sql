with

items as (

    select * from {{ ref('stg_shop__transaction_items') }}

),

transactions as (

    select * from {{ ref('int_shop__transactions_validated') }}
    where transaction_id is not null

),

related as (

    select
        items._record_key,
        items.is_deleted,
        items.broken_rules as broken_row_rules,
        items.transaction_id,
        not transactions.is_deleted as transaction_is_live,
        transactions.broken_rules = '' as transaction_is_clean
    from items
    left join transactions
        on items.transaction_id = transactions.transaction_id

),

checked as (

    select
        _record_key,
        broken_row_rules,
        {{ broken_rules('shop', 'transaction_items', scope='related') }} as broken_related_rules
    from related

),

validated as (

    select
        _record_key,
        {{ joined_rules('broken_row_rules', 'broken_related_rules') }} as broken_rules
    from checked

)

select * from validated
