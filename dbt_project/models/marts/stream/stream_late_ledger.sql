with

late_records as (

    {% for stream in stream_names() -%}
    select distinct
        '{{ stream }}' as stream,
        device,
        event_at,
        broker_at,
        log_id,
        topic,
        topic_partition,
        record_offset
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    where outcome = 'late'
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

counted_events as (

    {% for stream in stream_names() -%}
    select
        log_id,
        topic,
        topic_partition,
        record_offset
    from {{ ref('stg_stream__' ~ stream ~ '_events') }}
    where is_late
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

ledger as (

    select
        late_records.stream,
        late_records.device,
        late_records.event_at,
        {{ window_of('late_records.event_at', 1) }} as window_start,
        late_records.broker_at,
        cast(
            (
                {{ epoch_microseconds('late_records.broker_at') }}
                - {{ epoch_microseconds('late_records.event_at') }}
            ) / 1000000 as decimal(18, 3)
        ) as delay_seconds,
        counted_events.record_offset is not null as is_counted,
        late_records.log_id,
        late_records.topic,
        late_records.topic_partition,
        late_records.record_offset
    from late_records
    left join counted_events
        on
            late_records.log_id = counted_events.log_id
            and late_records.topic = counted_events.topic
            and late_records.topic_partition = counted_events.topic_partition
            and late_records.record_offset = counted_events.record_offset

)

select * from ledger
