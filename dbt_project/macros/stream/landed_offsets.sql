{#
    A subquery: how far each partition's records have landed, and where offsets are missing between
    two commits. Inside a commit nothing can be missing: it holds what the broker gave one after the
    other, and what the broker skips (transaction markers, compacted records) is nobody's event.

    One row per partition and commit: first_offset, last_offset, landed_before (the last offset that
    the commits before it hold, NULL for the first) and is_newest.

    base: the landed records of a stream.
    consumer: name of the model whose commits count.
#}
{% macro landed_offsets(base, consumer) -%}
    (
        with

        commits as (

            select
                log_id,
                topic,
                topic_partition,
                _batch_id,
                min(record_offset) as first_offset,
                max(record_offset) as last_offset
            from {{ base }}
            where
                _batch_id in {{ commits_seen_by(consumer) }}
            group by log_id, topic, topic_partition, _batch_id

        )

        select
            commits.*,
            max(last_offset) over (
                in_order rows between unbounded preceding and 1 preceding
            ) as landed_before,
            lead(_batch_id) over in_order is null as is_newest
        from commits
        window
            in_order as (
                partition by log_id, topic, topic_partition
                order by first_offset asc, last_offset asc, _batch_id asc
            )
    )
{%- endmacro %}
