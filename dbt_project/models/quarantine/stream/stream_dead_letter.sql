{%- set upstreams = ['log_stream__power_events', 'log_stream__climate_events'] -%}
{%- set record = '(log_id, topic, topic_partition, record_offset)' -%}
{{ follow(upstreams, key=record, affected='affected_rejected_records') }}

with

records as (

    {% for stream in ['power', 'climate'] -%}
    select
        '{{ stream }}' as stream,
        log_id,
        topic,
        topic_partition,
        record_offset,
        broker_at,
        reasons,
        record_key,
        payload,
        _extracted_at,
        _batch_id,
        row_number() over (
            partition by log_id, topic, topic_partition, record_offset
            order by _extracted_at asc nulls first, _batch_id asc nulls first
        ) as copy_number
    from {{ ref('log_stream__' ~ stream ~ '_events') }}
    where
        outcome = 'rejected'
        and {{ is_affected(record, affected_rejected_records, upstreams) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

dead_letters as (

    select
        stream,
        log_id,
        topic,
        topic_partition,
        record_offset,
        broker_at,
        reasons,
        record_key,
        payload,
        _extracted_at,
        _batch_id
    from records
    where copy_number = 1

)

select * from dead_letters
