{%- set upstreams = ['int_shop__transaction_items_judged'] -%}
{{ follow(upstreams, key='transaction_item_id', affected='affected_transaction_items') }}

with

source as (

    select * from {{ ref('int_shop__transaction_items_judged') }}
    where
        broken_rules = ''
        and {{ is_affected('transaction_item_id', affected_transaction_items, upstreams) }}

),

renamed as (

    select
        -- ids
        transaction_item_id,
        transaction_id,
        product_id,

        -- numerics
        line_number,
        quantity,
        unit_price,
        discount_amount,
        line_amount,

        -- booleans
        is_deleted,

        -- timestamps
        created_at,
        updated_at,
        deleted_at,

        -- lineage
        _extracted_at,
        _batch_id
    from source

)

select * from renamed
