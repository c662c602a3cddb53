{#
    The model int_stream__<stream>_minutes_recounted: each partition's minutes as the stream must have
    counted them, from the records that it has accepted or known as duplicates. A record that landed
    twice counts once.
#}
{% macro int_stream_minutes_recounted(stream) -%}
{{ config(materialized='incremental', unique_key=['device', 'window_start']) }}

{%- set measures = stream_measures(stream) -%}

{% call affected_keys() %}
    {{ minutes_of_new_events(stream) }}
{% endcall %}

with

records as (

    select * from {{ ref('base_stream__' ~ stream ~ '_events') }}
    where
        outcome in ('accepted', 'duplicate')
        and {{ is_affected('(device, ' ~ window_of('event_at', 1) ~ ')') }}

),

distinct_records as (

    select distinct
        log_id,
        topic,
        topic_partition,
        record_offset,
        device,
        {{ window_of('event_at', 1) }} as window_start,
        case when outcome = 'accepted' then 1 else 0 end as is_counted,
        {%- for measure in measures %}
        case when outcome = 'accepted' then {{ measure }} end as {{ measure }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from records

),

minutes as (

    select
        log_id,
        topic,
        topic_partition,
        device,
        window_start,
        max(record_offset) as last_offset,
        cast(sum(is_counted) as bigint) as event_count,
        cast(sum(1 - is_counted) as bigint) as duplicate_count,
        {%- for measure in measures %}
        sum({{ measure }}) as {{ measure }}_sum,
        min({{ measure }}) as {{ measure }}_min,
        max({{ measure }}) as {{ measure }}_max
        {{- ',' if not loop.last }}
        {%- endfor %}
    from distinct_records
    group by log_id, topic, topic_partition, device, window_start

)

select * from minutes
{%- endmacro %}
