{#
    The model accounting_<source>: of each table of a source, how many of the rows that ever landed are
    current and clean, current and quarantined, and how many repeat or precede these.

    source: its name.
    tables: each table's name to the model whose broken_rules decide what is clean.
#}
{% macro accounting(source, tables) -%}
with

landed as (

    {% for table in tables -%}
    select
        '{{ table }}' as table_name,
        count(*) as raw_rows,
        count(*) - count(distinct _record_key) as repeated_rows
    from {{ ref('base_' ~ source ~ '__' ~ table) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

decided as (

    {% for table, model in tables.items() -%}
    select
        '{{ table }}' as table_name,
        coalesce(sum(case when broken_rules = '' then 1 else 0 end), 0) as clean_rows,
        coalesce(sum(case when broken_rules <> '' then 1 else 0 end), 0) as quarantined_rows
    from {{ ref(model) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

accounted as (

    select
        '{{ source }}' as source_name,
        landed.table_name,
        cast(landed.raw_rows as bigint) as raw_rows,
        cast(decided.clean_rows as bigint) as clean_rows,
        cast(decided.quarantined_rows as bigint) as quarantined_rows,
        cast(landed.repeated_rows as bigint) as repeated_rows
    from landed
    inner join decided
        on landed.table_name = decided.table_name

)

select * from accounted
{%- endmacro %}
