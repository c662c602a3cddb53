{#
    The rows of the raw commits that this model has not read yet; all rows when it is built anew.

    A subquery with exactly the columns declared for the source, in their order and types, and those
    of every raw file (`raw_columns`). It has them also when there is no file, and when older files
    lack a column. A column whose name in raw files is no plain one is read by `config.meta.raw_name`
    and has its declared name from here on. It opens only the files it needs: their names come from
    `ops.commits`, which is frozen at the start of the run, so that all models of a run see the same commits.

    For a source that declares `meta.primary_key` it adds what the macros in `macros/history` ask for:
        _record_key     what tells its rows apart, never NULL: the primary key as text, or, where a
                        part of that is NULL, a hash of the whole row
        _content_hash   hash of everything but the column `meta.changed_at`: equal for equal versions;
                        of the engine's own kind, so it is compared and never published
        _changed_at     the column `meta.changed_at`

    source_name, table_name: the arguments of source(), which is called for the lineage.

    Example, a whole base model: select * from {{ new_commits('shop', 'customers') }}
#}
{% macro new_commits(source_name, table_name) %}
    {%- set declared = source(source_name, table_name) -%}
    {%- if execute -%}
        {%- set columns = raw_columns(source_name, table_name) -%}
        {%- set raw_names = raw_names_of(source_name, table_name) -%}
        {%- set files = new_commit_files(source_name, table_name) -%}
        (
        select
            landed.*
            {{- identity_columns(source_name, table_name) }}
        from (
            select
            {%- for name, data_type in columns %}
                cast({{ raw_names.get(name, adapter.quote(name)) }} as {{ data_type }})
                    as {{ adapter.quote(name) }}
                {{- ',' if not loop.last }}
            {%- endfor %}
            from (
                select
                {%- for name, data_type in columns %}
                    cast(null as {{ data_type }})
                        as {{ raw_names.get(name, adapter.quote(name)) }}{{ ',' if not loop.last }}
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
        ) as landed
        )
    {%- else -%}
        (select null)
    {%- endif -%}
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
            and run > {{ model_state().after }}
        {%- endif %}
        order by batch_id
    {%- endset -%}
    {{- return(run_query(query).columns[0].values() | list) -}}
{% endmacro %}


{# The columns _record_key, _content_hash and _changed_at; nothing for a source without a key. #}
{% macro identity_columns(source_name, table_name) %}
    {%- set meta = source_meta(source_name, table_name) -%}
    {%- if meta.primary_key -%}
        {%- set whole, content, key, null_parts = [], [], [], [] -%}
        {%- for name, kind in kinds_of_columns(source_name, table_name) -%}
            {%- set quoted = adapter.quote(name) -%}
            {%- do whole.append((quoted, kind)) -%}
            {%- if name != meta.changed_at -%}
                {%- do content.append(quoted) -%}
            {%- endif -%}
            {%- if name in meta.primary_key -%}
                {%- do null_parts.append(quoted ~ ' is null') -%}
                {%- do key.append(canonical_text(quoted, kind)) -%}
            {%- endif -%}
        {%- endfor -%}
        ,
            case
                when {{ null_parts | join(' or ') }}
                    then 'no key:' || {{ surrogate_key(whole + [('_unrepresentable', 'text')]) }}
                else {{ key | join(" || ',' || ") }}
            end as _record_key,
            {{ 'xxhash64' if target.type == 'spark' else 'hash' }}(
                {{ content | join(', ') }}
            ) as _content_hash,
            {{ adapter.quote(meta.changed_at) if meta.changed_at
                else 'cast(null as ' ~ timestamp_type() ~ ')' }} as _changed_at
    {%- endif -%}
{% endmacro %}
