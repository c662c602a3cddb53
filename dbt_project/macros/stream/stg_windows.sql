{#
    The model stg_stream__<stream>_windows: the newest version of each minute that the stream has
    counted, per partition. The version is the offset of the last record that changed the minute; of
    equal ones the final one is the newer, of those the one landed first.
#}
{% macro stg_stream_windows(stream) -%}
{{ config(materialized='incremental', unique_key=['device', 'window_start']) }}

{%- set columns = [
    'log_id', 'topic', 'topic_partition', 'device', 'window_start', 'window_end', 'version',
    'through_offset', 'is_final', 'event_count', 'duplicate_count',
] -%}
{%- for measure in stream_measures(stream) -%}
    {%- do columns.extend([measure ~ '_sum', measure ~ '_min', measure ~ '_max']) -%}
{%- endfor -%}
{%- do columns.extend(['_extracted_at', '_batch_id']) -%}

{% call affected_keys() %}
    {{ minutes_of_new_windows(stream) }}
{% endcall %}

with

versions as (

    select * from {{ ref('base_stream__' ~ stream ~ '_windows') }}
    where {{ is_affected('(device, window_start)') }}

),

placed as (

    select
        {{ columns | join(',\n        ') }},
        row_number() over (
            partition by log_id, topic, topic_partition, device, window_start
            order by
                version desc nulls last,
                is_final desc nulls last,
                _extracted_at asc nulls first,
                _batch_id asc nulls first
        ) as place
    from versions

),

windows as (

    select
        {{ columns | join(',\n        ') }}
    from placed
    where place = 1

)

select * from windows
{%- endmacro %}
