{#
    dbt's own macro for the comments of columns, with those of the source added: a quarantine model
    holds the columns of its source's table as they are, so their documentation is written once,
    there. `config.meta.columns_of` names the table as source.table.
#}
{% macro duckdb__alter_column_comment(relation, column_dict) %}
    {%- set comments = {} -%}
    {%- set columns_of = config.get('meta', {}).get('columns_of') -%}
    {%- if columns_of -%}
        {%- for column in source_node(*columns_of.split('.')).columns.values() -%}
            {%- do comments.update({column.name: column.description}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for column in column_dict.values() -%}
        {%- do comments.update({column.name: column.description}) -%}
    {%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(relation) if comments.get(column.name) %}
        comment on column {{ relation }}.{{ adapter.quote(column.name) }}
        is {{ duckdb_escape_comment(comments[column.name]) }};
    {%- endfor -%}
{% endmacro %}
