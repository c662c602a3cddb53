{#
    A subquery over the CTE `versions` (rows of a windows log): the newest version of each minute
    that the stream has told, per partition. The version is the offset of the last record that
    changed the minute; of equal ones the final one is the newer, of those the one landed first.

    measures: names of the measures.
#}
{% macro stream_windows(measures) -%}
    {%- set columns = [
        'log_id', 'topic', 'topic_partition', 'device', 'window_start', 'window_end', 'version',
        'through_offset', 'is_final', 'event_count', 'duplicate_count',
    ] -%}
    {%- for measure in measures -%}
        {%- do columns.extend([measure ~ '_sum', measure ~ '_min', measure ~ '_max']) -%}
    {%- endfor -%}
    {%- do columns.extend(['_extracted_at', '_batch_id']) -%}
    (
        with

        placed as (

            select
                {{ columns | join(',\n                ') }},
                row_number() over (
                    partition by log_id, topic, topic_partition, device, window_start
                    order by
                        version desc nulls last,
                        is_final desc nulls last,
                        _extracted_at asc nulls first,
                        _batch_id asc nulls first
                ) as place
            from versions

        )

        select
            {{ columns | join(',\n            ') }}
        from placed
        where place = 1
    )
{%- endmacro %}
