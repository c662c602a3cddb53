{# Whole days: short where dbt's own macros render to half a page. #}

{# The date that many days later. #}
{% macro add_days(date, days) -%}
    {%- if target.type == 'spark' -%}
        date_add({{ date }}, {{ days }})
    {%- else -%}
        ({{ date }} + {{ days }})
    {%- endif -%}
{%- endmacro %}


{# Days from one date to another. #}
{% macro days_between(first, last) -%}
    {%- if target.type == 'spark' -%}
        datediff({{ last }}, {{ first }})
    {%- else -%}
        date_diff('day', {{ first }}, {{ last }})
    {%- endif -%}
{%- endmacro %}
