{%- set upstreams = [
    'log_shop__transactions',
    'int_shop__transaction_items_current',
    'int_shop__customers_judged',
] -%}
{{ follow(
    upstreams, key='transaction_id', affected='affected_transactions', keeps_null_keys=true
) }}
{%- set content = [
    ('transaction_id', 'int'),
    ('customer_id', 'int'),
    ('campaign_id', 'int'),
    ('sold_at', 'timestamp'),
    ('status', 'text'),
    ('payment_method', 'text'),
    ('total_amount', 'decimal(12,2)'),
    ('created_at', 'timestamp'),
    ('updated_at', 'timestamp'),
] %}

with

versions as (

    select * from {{ ref('log_shop__transactions') }}
    where
        {{ is_affected('transaction_id', affected_transactions, upstreams, keeps_null_keys=true) }}

),

items as (

    select * from {{ ref('int_shop__transaction_items_current') }}
    where
        not is_deleted
        and {{ is_affected('transaction_id', affected_transactions, upstreams) }}

),

customers as (

    select * from {{ ref('int_shop__customers_judged') }}

),

current_versions as (

    select * from {{ current_versions('transaction_id', content) }}

),

items_by_transaction as (

    select
        transaction_id,
        sum(line_amount) as live_items_amount,
        sum(case when broken_row_rules <> '' then 1 else 0 end) as broken_live_items
    from items
    group by transaction_id

),

related as (

    select
        current_versions.transaction_id,
        current_versions.customer_id,
        current_versions.campaign_id,
        current_versions.sold_at,
        current_versions.status,
        current_versions.payment_method,
        current_versions.total_amount,
        current_versions.created_at,
        current_versions.updated_at,
        current_versions._unrepresentable,
        current_versions.keyless_content,
        current_versions.has_version,
        current_versions.is_deleted,
        current_versions.deleted_at,
        current_versions.first_seen_at,
        current_versions.last_seen_at,
        current_versions._extracted_at,
        current_versions._batch_id,
        customers.created_at as customer_created_at,
        coalesce(items_by_transaction.live_items_amount, 0) as live_items_amount,
        coalesce(items_by_transaction.broken_live_items, 0) as broken_live_items
    from current_versions
    left join items_by_transaction
        on current_versions.transaction_id = items_by_transaction.transaction_id
    left join customers
        on current_versions.customer_id = customers.customer_id

),

judged as (

    select
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
        keyless_content,
        has_version,
        is_deleted,
        deleted_at,
        first_seen_at,
        last_seen_at,
        _extracted_at,
        _batch_id,
        {{ verdict('shop', 'transactions', 'transaction_id') }} as broken_rules,
        {{ rule_version('shop', 'transactions', 'transaction_id') }} as rule_version
    from related

)

select * from judged
