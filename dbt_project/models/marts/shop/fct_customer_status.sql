with

customers as (

    select
        customer_key,
        customer_id,
        is_current,
        {{ responsible_until('customer_id') }} = {{ open_end() }} as is_last
    from {{ ref('dim_customer') }}
    where customer_id is not null

),

receipts as (

    select * from {{ ref('fct_receipts') }}

),

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}

),

newest as (

    -- Not the clock, which no rebuild repeats, nor the last sale, which a cash register dates.
    select max(last_seen_at) as as_of
    from transactions

),

purchases as (

    select
        customer_id,
        cast(sum(revenue_amount) as decimal(38, 2)) as revenue_amount,
        count(*) as receipt_count,
        min(sold_at) as first_sold_at,
        max(sold_at) as last_sold_at
    from receipts
    where status = 'completed'
    group by customer_id

),

final as (

    select
        -- keys
        customers.customer_key,
        customers.customer_id,

        -- strings
        case
            when purchases.customer_id is null then 'prospect'
            when
                {{ days_between(
                    'cast(purchases.last_sold_at as date)', 'cast(newest.as_of as date)'
                ) }} > {{ var('customer_lapses_after_days') }}
                then 'lapsed'
            else 'active'
        end as customer_status,

        -- booleans
        not customers.is_current as is_deleted,

        -- numerics
        coalesce(purchases.receipt_count, 0) as receipt_count,
        coalesce(purchases.revenue_amount, 0) as revenue_amount,
        {{ exact_ratio('purchases.revenue_amount', 'purchases.receipt_count') }}
            as average_receipt,

        -- timestamps
        purchases.first_sold_at,
        purchases.last_sold_at,
        newest.as_of
    from customers
    cross join newest
    left join purchases
        on customers.customer_id = purchases.customer_id
    where customers.is_last

)

select * from final
