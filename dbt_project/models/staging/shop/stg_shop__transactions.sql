{{ config(materialized='incremental', unique_key='_record_key') }}

{% call affected_keys() %}
    select _record_key from {{ ref('base_shop__transactions') }} where {{ is_new_commit() }}
{% endcall %}

with

versions as (

    select * from {{ ref('base_shop__transactions') }}
    where {{ is_affected('_record_key') }}

),

current_versions as (

    select * from {{ current_version() }}

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

        -- timestamps
        sold_at,
        created_at,
        updated_at,

        -- rules
        {{ broken_rules('shop', 'transactions') }} as broken_rules,
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
