with

receipts as (

    select * from {{ ref('fct_receipts') }}

),

dates as (

    select * from {{ ref('dim_date') }}

),

by_quarter as (

    select
        dates.year_quarter,
        dates.year,
        dates.quarter_of_year,
        {{ sales_measures() }}
    from receipts
    inner join dates
        on receipts.date_key = dates.date_key
    group by
        dates.year_quarter,
        dates.year,
        dates.quarter_of_year

),

final as (

    select
        by_quarter.*,
        {{ sales_ratios() }}
    from by_quarter

)

select * from final
