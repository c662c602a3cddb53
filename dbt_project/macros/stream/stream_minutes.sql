{#
    A subquery over the CTEs `events` (staged events) and `windows` (what the stream told): each
    device's minutes, counted from the events, late ones included.

    measures: names of the measures.
#}
{% macro stream_minutes(measures) -%}
    (
        with

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

        told as (

            select
                device,
                window_start,
                cast(sum(event_count) as bigint) as live_count,
                min(case when is_final then 1 else 0 end) = 1 as is_final
            from windows
            group by device, window_start

        )

        select
            counted.device,
            counted.window_start,
            counted.window_start + interval '1' minute as window_end,
            counted.event_count,
            counted.late_count,
            counted.duplicate_count,
            coalesce(told.live_count, 0) as live_count,
            -- A minute that has nothing but late events was closed before the first of them.
            coalesce(told.is_final, counted.event_count = counted.late_count) as is_final,
            {{ measure_columns(measures, 'counted') }}
        from counted
        left join told
            on
                counted.device = told.device
                and counted.window_start = told.window_start
    )
{%- endmacro %}


{# Sum, smallest, largest and mean of each measure of a relation that holds the first three. #}
{% macro measure_columns(measures, relation) -%}
    {%- for measure in measures %}
            {{ relation }}.{{ measure }}_sum,
            {{ relation }}.{{ measure }}_min,
            {{ relation }}.{{ measure }}_max,
            cast({{ relation }}.{{ measure }}_sum / {{ relation }}.event_count as decimal(18, 6))
                as {{ measure }}_avg
            {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
