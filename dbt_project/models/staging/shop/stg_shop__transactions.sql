{%- set upstreams = ['int_shop__transactions_judged'] -%}
{{ follow(upstreams, key='transaction_id', affected='affected_transactions') }}

with

source as (

    select * from {{ ref('int_shop__transactions_judged') }}
    where
        broken_rules = ''
        and {{ is_affected('transaction_id', affected_transactions, upstreams) }}

),

renamed as (

    select
        -- ids
        transaction_id,
        customer_id,
        campaign_id,

        -- strings
        status,
        payment_method,

        -- numerics
        total_amount,

        -- booleans
        is_deleted,

        -- timestamps
        sold_at,
        created_at,
        updated_at,
        deleted_at,

        -- lineage
        _extracted_at,
        _batch_id
    from source

)

select * from renamed
