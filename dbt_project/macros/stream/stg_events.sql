{#
    The model stg_stream__<stream>_events: one row per event, which is a device and a microsecond.
    Whatever else says the same event is counted in duplicate_count: what the stream knew as a
    duplicate, a late event that repeats one of a minute that was closed, and a topic that was filled
    again.

    A record that landed twice counts once. Of the records of one event the accepted one speaks,
    because the stream has counted it; then the earliest at the broker, which in one partition is
    the smallest offset.
#}
{% macro stg_stream_events(stream) -%}
{{ config(materialized='incremental', unique_key=['device', 'event_at']) }}

{%- set record = 'log_id, topic, topic_partition, record_offset' -%}
{%- set said = ['device', 'event_at'] + stream_attributes(stream) + stream_measures(stream) -%}
{%- set known = ['broker_at', record, '_extracted_at', '_batch_id'] -%}

{% call affected_keys() %}
    select device, event_at
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    where device is not null and {{ is_new_commit() }}
{% endcall %}

with

records as (

    select * from {{ ref('base_stream__' ~ stream ~ '_events') }}
    where
        outcome <> 'rejected'
        and {{ is_affected('(device, event_at)') }}

),

copies as (

    select
        {%- for column in said + known + ['outcome'] %}
        {{ column }},
        {%- endfor %}
        row_number() over (
            partition by {{ record }}
            order by _extracted_at asc nulls first, _batch_id asc nulls first
        ) as copy_number
    from records

),

placed as (

    select
        {%- for column in said + known + ['outcome'] %}
        {{ column }},
        {%- endfor %}
        row_number() over (
            partition by device, event_at
            order by
                case outcome when 'accepted' then 1 when 'late' then 2 else 3 end asc,
                broker_at asc nulls last,
                log_id asc nulls last,
                topic asc nulls last,
                topic_partition asc nulls last,
                record_offset asc nulls last
        ) as place,
        count(*) over (partition by device, event_at) as record_count
    from copies
    where copy_number = 1

),

events as (

    select
        {%- for column in said %}
        {{ column }},
        {%- endfor %}
        outcome = 'late' as is_late,
        record_count - 1 as duplicate_count,
        {{ known | join(',\n        ') }}
    from placed
    where place = 1

)

select * from events
order by event_at asc, device asc
{%- endmacro %}
