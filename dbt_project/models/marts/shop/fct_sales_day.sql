with

receipts as (

    select * from {{ ref('fct_receipts') }}

),

by_day as (

    select
        receipts.date_key,
        {{ sales_measures() }}
    from receipts
    group by receipts.date_key

),

final as (

    select
        by_day.*,
        {{ sales_ratios() }}
    from by_day

)

select * from final
