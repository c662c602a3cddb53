{#
    A subquery over the CTE `records` (rows of an events log that the stream has accepted or known
    as duplicates): each partition's minutes as the stream must have counted them. A record that
    landed twice counts once.

    measures: names of the measures.
#}
{% macro stream_recount(measures) -%}
    (
        with

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

        )

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
{%- endmacro %}
