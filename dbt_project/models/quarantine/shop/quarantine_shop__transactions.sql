{%- set upstreams = ['int_shop__transactions_judged'] -%}
{{ follow(
    upstreams, key='transaction_id', affected='affected_transactions', keeps_null_keys=true
) }}

with

source as (

    select * from {{ ref('int_shop__transactions_judged') }}
    where
        broken_rules <> ''
        and {{ is_affected(
            'transaction_id', affected_transactions, upstreams, keeps_null_keys=true
        ) }}

),

keyed as (

    select
        coalesce(
            keyless_content, {{ surrogate_key([('transaction_id', 'int')]) }}
        ) as quarantine_key,

        -- payload
        transaction_id,
        customer_id,
        campaign_id,
        sold_at,
        status,
        payment_method,
        total_amount,
        created_at,
        updated_at,
        _unrepresentable,

        -- verdict
        broken_rules,
        rule_version,
        is_deleted,
        deleted_at,
        first_seen_at,
        last_seen_at,
        _extracted_at,
        _batch_id
    from source

)

select * from keyed
