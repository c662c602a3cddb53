{# The commands that build or test something; `compile`, `docs generate` and `list` do not. #}
{% macro run_commands() %}
    {{- return(['build', 'run', 'test', 'seed', 'snapshot', 'retry']) -}}
{% endmacro %}

{#
    Calls one of the two functions of `lakehouse/dbt_plugin.py` with a JSON request, logs its answer
    and renders to nothing; or renders to a statement that fails with the answered sentence. Other
    engines than DuckDB have no build file to guard.
#}
{% macro call_kernel(function, request) %}
    {%- if target.type == 'duckdb' and target.path != ':memory:' -%}
        {%- set call = "select " ~ function ~ "('" ~ tojson(request) | replace("'", "''") ~ "')" -%}
        {%- set answer = fromjson(run_query(call).columns[0].values()[0]) -%}
        {%- if answer.error -%}
            select error('{{ answer.error | replace("'", "''") }}')
        {%- elif answer.message -%}
            {%- do log('lakehouse: ' ~ answer.message, info=true) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
