{# Names of the columns declared for a source, in order. Empty while parsing, and in unit tests. #}
{% macro source_columns(source_name, table_name) -%}
    {%- set names = [] -%}
    {%- if execute -%}
        {%- for name, data_type in raw_columns(source_name, table_name) if not name.startswith('_') -%}
            {%- do names.append(name) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(names) -}}
{%- endmacro %}
