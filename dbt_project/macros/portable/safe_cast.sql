{# dbt-duckdb leaves `dbt.safe_cast` a plain cast, which raises on the first bad value. #}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}
