{#
    The models fct_<stream>_five_minutes and fct_<stream>_hour: the minutes in longer windows. Sums,
    counts and extremes of minutes are exact in any window that is made of whole minutes.

    length: minutes in a window; it divides an hour.
#}
{% macro fct_stream_longer_window(stream, length) -%}
{%- set measures = stream_measures(stream) -%}

with

minutes as (

    select * from {{ ref('fct_' ~ stream ~ '_minute') }}

),

grouped as (

    select
        device,
        {{ window_of('window_start', length) }} as window_start,
        count(*) as minute_count,
        cast(sum(case when is_final then 0 else 1 end) as bigint) as open_minute_count,
        cast(sum(event_count) as bigint) as event_count,
        cast(sum(late_count) as bigint) as late_count,
        cast(sum(duplicate_count) as bigint) as duplicate_count,
        cast(sum(live_count) as bigint) as live_count,
        {%- for measure in measures %}
        cast(sum({{ measure }}_sum) as decimal(38, 6)) as {{ measure }}_sum,
        min({{ measure }}_min) as {{ measure }}_min,
        max({{ measure }}_max) as {{ measure }}_max
        {{- ',' if not loop.last }}
        {%- endfor %}
    from minutes
    group by device, {{ window_of('window_start', length) }}

),

longer_windows as (

    select
        grouped.device,
        grouped.window_start,
        grouped.window_start + interval '{{ length }}' minute as window_end,
        grouped.minute_count,
        grouped.open_minute_count,
        grouped.event_count,
        grouped.late_count,
        grouped.duplicate_count,
        grouped.live_count,
        {{- measure_columns(measures, 'grouped') }}
    from grouped

)

select * from longer_windows
{%- endmacro %}
