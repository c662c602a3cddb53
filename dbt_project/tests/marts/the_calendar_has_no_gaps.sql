-- A failing row shows a calendar with missing days, or one that does not cover whole years.
with

calendar as (

    select
        min(full_date) as first_date,
        max(full_date) as last_date,
        count(*) as day_count
    from {{ ref('dim_date') }}

)

select * from calendar
where
    day_count <> {{ days_between('first_date', 'last_date') }} + 1
    or day_count < 365
    or extract(month from first_date) * 100 + extract(day from first_date) <> 101
    or extract(month from last_date) * 100 + extract(day from last_date) <> 1231
