{{ config(materialized='incremental', unique_key='transaction_id') }}

{#- A receipt is its transaction, its items and the dimension members valid at its time. -#}
{% call affected_keys() %}
    with

    customers as (
        select customer_id from {{ ref('base_shop__customers') }} where {{ is_new_commit() }}
    ),

    campaigns as (
        select campaign_id from {{ ref('base_shop__campaigns') }} where {{ is_new_commit() }}
    ),

    landed_items as (
        select _record_key from {{ ref('base_shop__transaction_items') }}
        where {{ is_new_commit() }}
    )

    select transaction_id from {{ ref('base_shop__transactions') }}
    where
        {{ is_new_commit() }}
        or customer_id in (select customer_id from customers)
        or campaign_id in (select campaign_id from campaigns)
    union
    select transaction_id from {{ ref('base_shop__transaction_items') }}
    where _record_key in (select _record_key from landed_items)
{% endcall %}

with

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}
    where {{ is_affected('transaction_id') }}

),

items as (

    select * from {{ ref('int_shop__transaction_items_accepted') }}
    where {{ is_affected('transaction_id') }}

),

customer_versions as (

    select
        customer_key,
        customer_id,
        valid_from,
        {{ responsible_until('customer_id') }} as responsible_until
    from {{ ref('dim_customer') }}
    where customer_id is not null

),

campaign_versions as (

    select
        campaign_key,
        campaign_id,
        valid_from,
        {{ responsible_until('campaign_id') }} as responsible_until
    from {{ ref('dim_campaign') }}
    where campaign_id is not null

),

lines as (

    select
        transaction_id,
        count(*) as line_count,
        sum(quantity) as quantity,
        sum(line_amount + discount_amount) as gross_amount,
        sum(discount_amount) as discount_amount
    from items
    group by transaction_id

),

receipts as (

    -- A transaction without items is a receipt, too; the rules see to it that its total is zero.
    select
        transactions.transaction_id,
        transactions.customer_id,
        transactions.campaign_id,
        transactions.status,
        transactions.payment_method,
        transactions.sold_at,
        transactions.total_amount as net_amount,
        coalesce(lines.line_count, 0) as line_count,
        coalesce(lines.quantity, 0) as quantity,
        coalesce(lines.gross_amount, 0) as gross_amount,
        coalesce(lines.discount_amount, 0) as discount_amount,
        case when transactions.status = 'completed' then transactions.total_amount else 0 end
            as revenue_amount
    from transactions
    left join lines
        on transactions.transaction_id = lines.transaction_id

),

with_members as (

    select
        receipts.*,
        coalesce(customer_versions.customer_key, {{ unknown_key() }}) as customer_key,
        case
            when receipts.campaign_id is null then {{ none_key() }}
            else coalesce(campaign_versions.campaign_key, {{ unknown_key() }})
        end as campaign_key
    from receipts
    left join customer_versions
        on
            receipts.customer_id = customer_versions.customer_id
            and receipts.sold_at >= customer_versions.valid_from
            and receipts.sold_at < customer_versions.responsible_until
    left join campaign_versions
        on
            receipts.campaign_id = campaign_versions.campaign_id
            and receipts.sold_at >= campaign_versions.valid_from
            and receipts.sold_at < campaign_versions.responsible_until

),

final as (

    select
        -- keys
        customer_key,
        campaign_key,
        cast(
            extract(year from sold_at) * 10000
            + extract(month from sold_at) * 100
            + extract(day from sold_at) as int
        ) as date_key,

        -- ids
        transaction_id,
        customer_id,
        campaign_id,

        -- strings
        status,
        payment_method,

        -- numerics
        line_count,
        cast(quantity as bigint) as quantity,
        cast(gross_amount as decimal(18, 2)) as gross_amount,
        cast(discount_amount as decimal(18, 2)) as discount_amount,
        cast(net_amount as decimal(18, 2)) as net_amount,
        cast(revenue_amount as decimal(18, 2)) as revenue_amount,

        -- timestamps
        sold_at
    from with_members

)

select * from final
