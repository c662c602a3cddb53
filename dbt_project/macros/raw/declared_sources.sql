{# What the YAML of a source declares. Known while models run, not while parsing or in unit tests. #}

{# The source's node in dbt's graph. #}
{% macro source_node(source_name, table_name) %}
    {%- for node in graph.sources.values()
        if node.source_name == source_name and node.name == table_name -%}
        {{- return(node) -}}
    {%- endfor -%}
    {%- do exceptions.raise_compiler_error(
        'the source ' ~ source_name ~ '.' ~ table_name ~ ' is not declared'
    ) -%}
{% endmacro %}


{# What it says under config.meta: primary_key, changed_at, rules. #}
{% macro source_meta(source_name, table_name) %}
    {{- return(source_node(source_name, table_name).config.meta) -}}
{% endmacro %}


{# Pairs of name and type: the columns declared for a source, then those of every raw file. #}
{% macro raw_columns(source_name, table_name) %}
    {%- set columns = [] -%}
    {%- set meta = source_meta(source_name, table_name) -%}
    {%- if meta.stream -%}
        {%- do columns.extend(raw_stream_columns(meta.stream, meta.holds)) -%}
    {%- endif -%}
    {%- for column in source_node(source_name, table_name).columns.values()
        if not column.name.startswith('_') -%}
        {%- do columns.append((column.name, column.data_type)) -%}
    {%- endfor -%}
    {%- if not columns -%}
        {%- do exceptions.raise_compiler_error(
            'source ' ~ source_name ~ '.' ~ table_name ~ ' declares no columns; list each with its '
            ~ 'data_type'
        ) -%}
    {%- endif -%}
    {{- return(columns + [
        ('_batch_id', 'varchar'),
        ('_op', 'varchar'),
        ('_extracted_at', 'timestamptz'),
        ('_unrepresentable', 'varchar'),
    ]) -}}
{% endmacro %}


{# Declared name to quoted name in raw files, of the columns for which the two differ. #}
{% macro raw_names_of(source_name, table_name) %}
    {%- set names = {} -%}
    {%- for column in source_node(source_name, table_name).columns.values()
        if column.config.meta.raw_name -%}
        {%- set quoted = adapter.quote(column.config.meta.raw_name | replace('"', '""')) -%}
        {%- do names.update({column.name: quoted}) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}


{# Pairs of name and kind, as for `surrogate_key`, of the columns declared for a source. #}
{% macro kinds_of_columns(source_name, table_name) %}
    {%- set kinds = {
        'varchar': 'text', 'boolean': 'bool', 'date': 'date', 'timestamptz': 'timestamp',
        'timestamp': 'timestamp', 'smallint': 'int', 'integer': 'int', 'bigint': 'int',
        'blob': 'bytes', 'real': 'approximate', 'double': 'approximate',
    } -%}
    {%- set columns = [] -%}
    {%- for name, data_type in raw_columns(source_name, table_name) if not name.startswith('_') -%}
        {%- set type = data_type.lower() | replace(' ', '') -%}
        {%- if type not in kinds and not type.startswith('decimal(') -%}
            {%- do exceptions.raise_compiler_error(
                'column ' ~ name ~ ' of source ' ~ source_name ~ '.' ~ table_name ~ ' is '
                ~ data_type ~ ', which engines print differently; declare it as varchar'
            ) -%}
        {%- endif -%}
        {%- do columns.append((name, kinds.get(type, type))) -%}
    {%- endfor -%}
    {{- return(columns) -}}
{% endmacro %}
