{#
    For `dbt source freshness`: when the newest raw commit of a table was made, as its file's name
    says (`new_batch_id` in lakehouse/raw); no build is needed to know it. NULL when nothing has ever
    landed, which dbt takes for stale.

    source_name, table_name: the source.
#}
{% macro newest_commit(source_name, table_name) -%}
    select max(
        strptime(
            regexp_extract(file, '(\d{8}T\d{12})Z-[0-9a-f]+\.parquet$', 1), '%Y%m%dT%H%M%S%f'
        )
    )
    from glob(
        getvariable('raw_dir') || '/{{ source_name }}/{{ table_name }}/load_date=*/*.parquet'
    )
{%- endmacro %}
