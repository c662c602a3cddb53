{%- set upstreams = [
    'stg_shop__transaction_items',
    'stg_shop__transactions',
    'dim_customer',
    'dim_product',
    'dim_campaign',
] -%}
{{ follow(upstreams, key='transaction_item_id', affected='affected_sales') }}

with

items as (

    select * from {{ ref('stg_shop__transaction_items') }}
    where
        not is_deleted
        and {{ is_affected('transaction_item_id', affected_sales, upstreams) }}

),

transactions as (

    select * from {{ ref('stg_shop__transactions') }}
    where not is_deleted

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

product_versions as (

    select
        product_key,
        product_id,
        valid_from,
        {{ responsible_until('product_id') }} as responsible_until
    from {{ ref('dim_product') }}
    where product_id is not null

),

campaigns as (

    select * from {{ ref('dim_campaign') }}
    where campaign_id is not null

),

sales as (

    select
        items.transaction_item_id,
        items.transaction_id,
        items.line_number,
        items.product_id,
        transactions.customer_id,
        transactions.campaign_id,
        transactions.status,
        transactions.payment_method,
        transactions.sold_at,
        items.quantity,
        items.unit_price,
        cast(
            cast(items.quantity as decimal(19, 0)) * cast(items.unit_price as decimal(12, 2))
            as decimal(18, 2)
        ) as gross_amount,
        items.discount_amount,
        items.line_amount as net_amount
    from items
    inner join transactions
        on items.transaction_id = transactions.transaction_id

),

with_members as (

    select
        sales.*,
        coalesce(customer_versions.customer_key, {{ unknown_key() }}) as customer_key,
        coalesce(product_versions.product_key, {{ unknown_key() }}) as product_key,
        case
            when sales.campaign_id is null then {{ none_key() }}
            else coalesce(campaigns.campaign_key, {{ unknown_key() }})
        end as campaign_key
    from sales
    left join customer_versions
        on
            sales.customer_id = customer_versions.customer_id
            and sales.sold_at >= customer_versions.valid_from
            and sales.sold_at < customer_versions.responsible_until
    left join product_versions
        on
            sales.product_id = product_versions.product_id
            and sales.sold_at >= product_versions.valid_from
            and sales.sold_at < product_versions.responsible_until
    left join campaigns
        on sales.campaign_id = campaigns.campaign_id

),

final as (

    select
        -- keys
        {{ surrogate_key([('transaction_item_id', 'int')]) }} as sales_key,
        customer_key,
        product_key,
        campaign_key,
        cast(
            extract(year from sold_at) * 10000
            + extract(month from sold_at) * 100
            + extract(day from sold_at) as int
        ) as date_key,

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

        -- timestamps
        sold_at
    from with_members

)

select * from final
