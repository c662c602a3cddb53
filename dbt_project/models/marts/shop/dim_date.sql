{% set fiscal_start = var('fiscal_year_first_month') %}
{% if fiscal_start not in range(1, 13) -%}
    {% do exceptions.raise_compiler_error(
        'fiscal_year_first_month is ' ~ fiscal_start ~ '; it names a month, 1 to 12 (dbt_project.yml)'
    ) %}
{%- endif -%}
with

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}

),

covered_years as (

    -- Without a sale there are still the constants; least and greatest pass over NULL. The rules
    -- bound sold_at, so the widest calendar is 102 years.
    select
        least(
            min(cast(extract(year from sold_at) as int)) - 1,
            {{ var('calendar_first_year') }}
        ) as first_year,
        greatest(
            max(cast(extract(year from sold_at) as int)) + 1,
            {{ var('calendar_last_year') }}
        ) as last_year
    from transactions

),

digits as (

    {% for digit in range(10) -%}
    select {{ digit }} as digit{{ ' union all' if not loop.last }}
    {% endfor %}
),

day_numbers as (

    -- Days since 1999-01-01: plain numbers instead of each engine's own series function.
    select
        ten_thousands.digit * 10000
        + thousands.digit * 1000
        + hundreds.digit * 100
        + tens.digit * 10
        + ones.digit as day_number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    cross join digits as thousands
    cross join digits as ten_thousands
    where ten_thousands.digit < 4

),

days as (

    select
        {{ add_days("cast('1999-01-01' as date)", 'day_number') }} as full_date
    from day_numbers

),

calendar as (

    select
        days.full_date,
        cast(extract(year from days.full_date) as int) as year,
        cast(extract(month from days.full_date) as int) as month_number,
        cast(extract(day from days.full_date) as int) as day_of_month,
        cast(date_trunc('week', days.full_date) as date) as week_start_date
    from days
    inner join covered_years
        on
            extract(year from days.full_date) >= covered_years.first_year
            and extract(year from days.full_date) <= covered_years.last_year

),

numbered as (

    -- An ISO week belongs to the year of its Thursday.
    select
        full_date,
        year,
        month_number,
        day_of_month,
        cast({{ days_between('week_start_date', 'full_date') }} as int) + 1 as day_of_week,
        cast(extract(week from full_date) as int) as iso_week,
        cast(extract(year from {{ add_days('week_start_date', 3) }}) as int) as iso_year,
        cast(floor((month_number + 2) / 3) as int) as quarter_of_year,
        (month_number + {{ 12 - fiscal_start }}) % 12 + 1 as fiscal_month,
        -- A fiscal year that does not begin in January is named after the year it ends in.
        year + {% if fiscal_start == 1 %}0{% else -%}
            case when month_number >= {{ fiscal_start }} then 1 else 0 end
        {%- endif %} as fiscal_year
    from calendar

),

final as (

    select
        -- ids
        cast(year * 10000 + month_number * 100 + day_of_month as int) as date_key,
        full_date,

        -- strings
        case day_of_week
            {% for name in [
                'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'
            ] -%}
            when {{ loop.index }} then '{{ name }}'
            {% endfor -%}
        end as day_name,
        case month_number
            {% for name in [
                'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August',
                'September', 'October', 'November', 'December'
            ] -%}
            when {{ loop.index }} then '{{ name }}'
            {% endfor -%}
        end as month_name,
        cast(year as {{ dbt.type_string() }})
        || '-' || lpad(cast(month_number as {{ dbt.type_string() }}), 2, '0') as year_month,
        cast(year as {{ dbt.type_string() }})
        || 'Q' || cast(quarter_of_year as {{ dbt.type_string() }}) as year_quarter,

        -- numerics
        day_of_week,
        day_of_month,
        month_number,
        quarter_of_year,
        iso_week,
        iso_year,
        year,
        cast(fiscal_month as int) as fiscal_month,
        cast(floor((fiscal_month + 2) / 3) as int) as fiscal_quarter,
        cast(fiscal_year as int) as fiscal_year,

        -- booleans
        day_of_week >= 6 as is_weekend
    from numbered

)

select * from final
