-- A failing row shows a calendar with missing days, or one that does not cover whole years.
with

calendar as (

    select
        min(full_date) as first_date,
        max(full_date) as last_date,
        count(*) as days
    from {{ ref('dim_date') }}

)

select * from calendar
where
    days <> {{ dbt.datediff('first_date', 'last_date', 'day') }} + 1
    or days < 365
    or extract(month from first_date) * 100 + extract(day from first_date) <> 101
    or extract(month from last_date) * 100 + extract(day from last_date) <> 1231
