with

receipts as (

    select * from {{ ref('fct_receipts') }}

),

customers as (

    select * from {{ ref('dim_customer') }}

),

by_city as (

    select
        customers.country_code,
        coalesce(customers.city, 'unknown') as city,
        {{ sales_measures() }}
    from receipts
    inner join customers
        on receipts.customer_key = customers.customer_key
    group by
        customers.country_code,
        coalesce(customers.city, 'unknown')

),

final as (

    select
        by_city.*,
        {{ sales_ratios() }}
    from by_city

)

select * from final
