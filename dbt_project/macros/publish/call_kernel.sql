{# The commands that build or test something; `compile`, `docs generate` and `list` do not. #}
{% macro run_commands() %}
    {{- return(['build', 'run', 'test', 'seed', 'snapshot', 'retry']) -}}
{% endmacro %}

{#
    Calls one of the two functions of `lakehouse/dbt/plugin.py` with a JSON request, logs its answer
    and renders to nothing. Other engines than DuckDB have no build file to guard.

    When the answer is an error, it ends the run if that has not begun: a hook that fails at its
    start would have every node listed as skipped, and dbt 1.11 trips over skipped exposures. Later
    it renders to a statement that fails with the sentence, so that the run's results are kept.
#}
{% macro call_kernel(function, request, at_start=false) %}
    {%- if target.type == 'duckdb' and target.path != ':memory:' -%}
        {%- set call = "select " ~ function ~ "('" ~ tojson(request) | replace("'", "''") ~ "')" -%}
        {%- set answer = fromjson(run_query(call).columns[0].values()[0]) -%}
        {%- if answer.error and at_start -%}
            {%- do exceptions.raise_compiler_error(answer.error) -%}
        {%- elif answer.error -%}
            select error('{{ answer.error | replace("'", "''") }}')
        {%- elif answer.message -%}
            {%- do log('lakehouse: ' ~ answer.message, info=true) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
