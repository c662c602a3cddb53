{{ config(materialized='incremental', unique_key='transaction_item_id') }}

{#- A sale is its item, its receipt and the version of the product valid at its time. -#}
{% call affected_keys() %}
    with

    customers as (
        select customer_id from {{ ref('base_shop__customers') }} where {{ is_new_commit() }}
    ),

    products as (
        select product_id from {{ ref('base_shop__products') }} where {{ is_new_commit() }}
    ),

    campaigns as (
        select campaign_id from {{ ref('base_shop__campaigns') }} where {{ is_new_commit() }}
    ),

    landed_items as (
        select _record_key from {{ ref('base_shop__transaction_items') }}
        where {{ is_new_commit() }}
    ),

    transactions as (
        select transaction_id from {{ ref('base_shop__transactions') }}
        where
            {{ is_new_commit() }}
            or customer_id in (select customer_id from customers)
            or campaign_id in (select campaign_id from campaigns)
        union
        select transaction_id from {{ ref('base_shop__transaction_items') }}
        where _record_key in (select _record_key from landed_items)
    )

    select transaction_item_id from {{ ref('base_shop__transaction_items') }}
    where
        transaction_id in (select transaction_id from transactions)
        or product_id in (select product_id from products)
        or _record_key in (select _record_key from landed_items)
{% endcall %}

with

items as (

    select * from {{ ref('int_shop__transaction_items_accepted') }}
    where {{ is_affected('transaction_item_id') }}

),

receipts as (

    select * from {{ ref('fct_receipts') }}

),

product_versions as (

    select
        product_key,
        product_id,
        valid_from,
        {{ responsible_until('product_id') }} as responsible_until
    from {{ ref('dim_product') }}
    where product_id is not null

),

sales as (

    -- A sale has its customer, campaign and day from its receipt.
    select
        items.transaction_item_id,
        items.transaction_id,
        items.line_number,
        items.product_id,
        receipts.customer_key,
        receipts.campaign_key,
        receipts.date_key,
        receipts.customer_id,
        receipts.campaign_id,
        receipts.status,
        receipts.payment_method,
        receipts.sold_at,
        items.quantity,
        items.unit_price,
        cast(
            cast(items.quantity as decimal(19, 0)) * cast(items.unit_price as decimal(12, 2))
            as decimal(18, 2)
        ) as gross_amount,
        items.discount_amount,
        items.line_amount as net_amount,
        case when receipts.status = 'completed' then items.line_amount else 0 end
            as revenue_amount
    from items
    inner join receipts
        on items.transaction_id = receipts.transaction_id

),

with_members as (

    select
        sales.*,
        coalesce(product_versions.product_key, {{ unknown_key() }}) as product_key
    from sales
    left join product_versions
        on
            sales.product_id = product_versions.product_id
            and sales.sold_at >= product_versions.valid_from
            and sales.sold_at < product_versions.responsible_until

),

final as (

    select
        -- keys
        {{ surrogate_key([('transaction_item_id', 'int')]) }} as sales_key,
        customer_key,
        product_key,
        campaign_key,
        date_key,

        -- ids
        transaction_item_id,
        transaction_id,
        customer_id,
        product_id,
        campaign_id,

        -- strings
        status,
        payment_method,

        -- numerics
        line_number,
        quantity,
        cast(unit_price as decimal(18, 2)) as unit_price,
        gross_amount,
        cast(discount_amount as decimal(18, 2)) as discount_amount,
        cast(net_amount as decimal(18, 2)) as net_amount,
        cast(revenue_amount as decimal(18, 2)) as revenue_amount,

        -- timestamps
        sold_at
    from with_members

)

select * from final
