-- A failing row is a day around a turn of the year whose parts are not what every calendar says.
with

expected as (

    {% for day, name, number, week, week_year, quarter, weekend, month in [
        (20240229, 'Thursday', 4, 9, 2024, 1, 'false', '2024-02'),
        (20241229, 'Sunday', 7, 52, 2024, 4, 'true', '2024-12'),
        (20241230, 'Monday', 1, 1, 2025, 4, 'false', '2024-12'),
        (20270103, 'Sunday', 7, 53, 2026, 1, 'true', '2027-01'),
        (20260630, 'Tuesday', 2, 27, 2026, 2, 'false', '2026-06'),
        (20260701, 'Wednesday', 3, 27, 2026, 3, 'false', '2026-07'),
    ] -%}
    select
        {{ day }} as date_key,
        '{{ name }}' as day_name,
        {{ number }} as day_of_week,
        {{ week }} as iso_week,
        {{ week_year }} as iso_year,
        {{ quarter }} as quarter_of_year,
        {{ weekend }} as is_weekend,
        '{{ month }}' as year_month,
        '{{ month[:4] }}Q{{ quarter }}' as year_quarter
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select expected.*
from expected
left join {{ ref('dim_date') }} as dim_date
    on
        expected.date_key = dim_date.date_key
        and expected.day_name = dim_date.day_name
        and expected.day_of_week = dim_date.day_of_week
        and expected.iso_week = dim_date.iso_week
        and expected.iso_year = dim_date.iso_year
        and expected.quarter_of_year = dim_date.quarter_of_year
        and expected.is_weekend = dim_date.is_weekend
        and expected.year_month = dim_date.year_month
        and expected.year_quarter = dim_date.year_quarter
where dim_date.date_key is null
