{{ config(materialized='incremental', unique_key='_record_key') }}

{% call affected_keys() %}
    select _record_key from {{ ref('base_shop__transaction_items') }} where {{ is_new_commit() }}
{% endcall %}

with

versions as (

    select * from {{ ref('base_shop__transaction_items') }}
    where {{ is_affected('_record_key') }}

),

current_versions as (

    select * from {{ current_version() }}

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

        -- timestamps
        created_at,
        updated_at,

        -- rules
        {{ broken_rules('shop', 'transaction_items') }} as broken_rules,
        _unrepresentable,

        -- lineage
        is_deleted,
        deleted_at,
        first_seen_at,
        last_seen_at,
        _record_key,
        _extracted_at,
        _batch_id
    from current_versions

)

select * from renamed
