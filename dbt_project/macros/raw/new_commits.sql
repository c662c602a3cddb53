{#
    The rows of the raw commits that this model has not read yet; all rows when it is built anew.

    A subquery with exactly the columns declared for the source, in their order and types, and the
    four columns of every raw file. It has them also when there is no file, and when older files
    lack a column. It opens only the files it needs: their names come from `ops.commits`, which is
    frozen at the start of the run, so that all models of a run see the same commits.

    source_name, table_name: the arguments of source(), which is called for the lineage.
#}
{% macro new_commits(source_name, table_name) %}
    {%- set declared = source(source_name, table_name) -%}
    {%- if execute -%}
        {%- set columns = raw_columns(source_name, table_name) -%}
        {%- set files = new_commit_files(source_name, table_name) -%}
        (
        select
        {%- for name, data_type in columns %}
            cast({{ adapter.quote(name) }} as {{ data_type }}) as {{ adapter.quote(name) }}
            {{- ',' if not loop.last }}
        {%- endfor %}
        from (
            select
            {%- for name, data_type in columns %}
                cast(null as {{ data_type }}) as {{ adapter.quote(name) }}{{ ',' if not loop.last }}
            {%- endfor %}
            where false
            {%- if files %}
            union all by name
            select *
            from read_parquet(
                [
                {%- for file in files %}
                    '{{ file | replace("'", "''") }}'{{ ',' if not loop.last }}
                {%- endfor %}
                ],
                union_by_name = true,
                hive_partitioning = false
            )
            {%- endif %}
        )
        )
    {%- else -%}
        (select null)
    {%- endif -%}
{% endmacro %}


{# Pairs of name and type: the columns declared for a source, then those of every raw file. #}
{% macro raw_columns(source_name, table_name) %}
    {%- set columns = [] -%}
    {%- for node in graph.sources.values() -%}
        {%- if node.source_name == source_name and node.name == table_name -%}
            {%- for column in node.columns.values() if not column.name.startswith('_') -%}
                {%- do columns.append((column.name, column.data_type)) -%}
            {%- endfor -%}
        {%- endif -%}
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


{# Paths of the commits that this model has not read yet. #}
{% macro new_commit_files(source_name, table_name) %}
    {%- if flags.WHICH not in run_commands() -%}
        {{- return([]) -}}
    {%- endif -%}
    {%- set query -%}
        select getvariable('raw_dir') || '/' || path
        from ops.commits
        where source_name = '{{ source_name }}' and table_name = '{{ table_name }}' and is_present
        {%- if is_incremental() %}
            and batch_id not in (
                select batch_id from ops.consumed where consumer = '{{ this.identifier }}'
            )
        {%- endif %}
        order by batch_id
    {%- endset -%}
    {{- return(run_query(query).columns[0].values() | list) -}}
{% endmacro %}
