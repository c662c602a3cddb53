{# What the project knows about a source's own columns, from their declaration. Empty while parsing. #}

{# Their names, in order. #}
{% macro source_columns(source_name, table_name) -%}
    {{- return(source_parts(source_name, table_name) | map('first') | list) -}}
{%- endmacro %}


{# Pairs of name and kind, as for `surrogate_key`. #}
{% macro source_parts(source_name, table_name) -%}
    {%- set kinds = {
        'varchar': 'text', 'bigint': 'int', 'integer': 'int', 'boolean': 'bool', 'date': 'date',
        'timestamptz': 'timestamp',
    } -%}
    {%- set parts = [] -%}
    {%- if execute -%}
        {%- for name, data_type in raw_columns(source_name, table_name) if not name.startswith('_') -%}
            {%- do parts.append((name, kinds.get(data_type, data_type))) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(parts) -}}
{%- endmacro %}


{# Identifies a row's content: two landings of one version have the same. #}
{% macro content_hash(source_name, table_name) -%}
    {{- surrogate_key(source_parts(source_name, table_name) + [('_unrepresentable', 'text')]) -}}
{%- endmacro %}
