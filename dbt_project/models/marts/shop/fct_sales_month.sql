with

receipts as (

    select * from {{ ref('fct_receipts') }}

),

dates as (

    select * from {{ ref('dim_date') }}

),

by_month as (

    select
        dates.year_month,
        dates.year,
        dates.month_number,
        dates.fiscal_year,
        dates.fiscal_quarter,
        {{ sales_measures() }}
    from receipts
    inner join dates
        on receipts.date_key = dates.date_key
    group by
        dates.year_month,
        dates.year,
        dates.month_number,
        dates.fiscal_year,
        dates.fiscal_quarter

),

final as (

    select
        by_month.*,
        {{ sales_ratios() }}
    from by_month

)

select * from final
