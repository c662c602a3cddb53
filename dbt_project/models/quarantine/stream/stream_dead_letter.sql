with

records as (

    {% for stream in stream_names() -%}
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
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    where outcome = 'rejected'
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
