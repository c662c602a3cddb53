{#
    One decimal divided by a whole number, rounded half away from zero, exact to six digits. Engines
    divide decimals as doubles (DuckDB) or round twice (Spark); whole numbers they divide exactly.

    numerator: a decimal of at most six digits behind the point, below 10^26 in size.
    denominator: a whole number above zero, of any type; zero gives NULL.
#}
{% macro exact_ratio(numerator, denominator) -%}
    {%- set millionths = 'cast(' ~ numerator ~ ' * 1000000 as decimal(38, 0))' -%}
    {%- set whole = 'decimal(38, 0)' if target.type == 'spark' else 'hugeint' -%}
    {%- set divided = 'div' if target.type == 'spark' else '//' -%}
    cast(
        sign({{ numerator }})
        * cast(
            (2 * abs(cast({{ millionths }} as {{ whole }})) + cast({{ denominator }} as {{ whole }}))
            {{ divided }} nullif(2 * cast({{ denominator }} as {{ whole }}), 0) as decimal(38, 0)
        )
        * cast(0.000001 as decimal(7, 6))
        as decimal(18, 6)
    )
{%- endmacro %}
