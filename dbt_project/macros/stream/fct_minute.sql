{#
    The model fct_<stream>_minute: each device's minutes, counted from the staged events, late ones
    included, beside what the stream counted while it ran.
#}
{% macro fct_stream_minute(stream) -%}
{{ config(materialized='incremental', unique_key=['device', 'window_start']) }}

{%- set measures = stream_measures(stream) -%}

{% call affected_keys() %}
    {{ minutes_of_new_events(stream) }}
    union
    {{ minutes_of_new_windows(stream) }}
{% endcall %}

with

events as (

    select * from {{ ref('stg_stream__' ~ stream ~ '_events') }}
    where {{ is_affected('(device, ' ~ window_of('event_at', 1) ~ ')') }}

),

windows as (

    select * from {{ ref('stg_stream__' ~ stream ~ '_windows') }}
    where {{ is_affected('(device, window_start)') }}

),

counted as (

    select
        device,
        {{ window_of('event_at', 1) }} as window_start,
        count(*) as event_count,
        cast(sum(case when is_late then 1 else 0 end) as bigint) as late_count,
        cast(sum(duplicate_count) as bigint) as duplicate_count,
        {%- for measure in measures %}
        cast(sum({{ measure }}) as decimal(38, 6)) as {{ measure }}_sum,
        min({{ measure }}) as {{ measure }}_min,
        max({{ measure }}) as {{ measure }}_max
        {{- ',' if not loop.last }}
        {%- endfor %}
    from events
    group by device, {{ window_of('event_at', 1) }}

),

counted_live as (

    select
        device,
        window_start,
        cast(sum(event_count) as bigint) as live_count,
        min(case when is_final then 1 else 0 end) = 1 as is_final
    from windows
    group by device, window_start

),

minutes as (

    select
        counted.device,
        counted.window_start,
        counted.window_start + interval '1' minute as window_end,
        counted.event_count,
        counted.late_count,
        counted.duplicate_count,
        coalesce(counted_live.live_count, 0) as live_count,
        -- A minute that has nothing but late events was closed before the first of them.
        coalesce(counted_live.is_final, counted.event_count = counted.late_count) as is_final,
        {{- measure_columns(measures, 'counted') }}
    from counted
    left join counted_live
        on
            counted.device = counted_live.device
            and counted.window_start = counted_live.window_start

)

select * from minutes
order by window_start asc, device asc
{%- endmacro %}
