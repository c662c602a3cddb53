{#
    Every record of the topic is exactly one of accepted, late, duplicate and rejected, and in the
    models: accepted + late + duplicate = staged events + their duplicates, rejected = dead letters.
    A failing row shows a partition, or the whole stream, whose sums do not add up; it is also red
    when a replay decided a record differently than the first time.

    Only commits that the models have read are counted, so that a run that stops after the base model is
    not red.

    model: the staged events.
    stream: name of the stream.
    base: the landed records of the stream.
    dead_letters: the model of rejected records.
#}
{% test stream_is_accounted_for(model, stream, base, dead_letters) %}

with

records as (

    select
        log_id,
        topic,
        topic_partition,
        record_offset,
        min(outcome) as outcome,
        case when min(outcome) <> max(outcome) then 1 else 0 end as is_contradicted
    from {{ base }}
    where
        _batch_id in {{ commits_seen_by(model.identifier) }}
    group by log_id, topic, topic_partition, record_offset

),

partitions as (

    select
        log_id,
        topic,
        topic_partition,
        count(*) as landed_records,
        sum(case when outcome = 'accepted' then 1 else 0 end) as accepted_records,
        sum(case when outcome = 'late' then 1 else 0 end) as late_records,
        sum(case when outcome = 'duplicate' then 1 else 0 end) as duplicate_records,
        sum(case when outcome = 'rejected' then 1 else 0 end) as rejected_records,
        sum(is_contradicted) as contradicted_records
    from records
    group by log_id, topic, topic_partition

),

staged as (

    select
        count(*) as staged_events,
        coalesce(sum(duplicate_count), 0) as staged_duplicates
    from {{ model }}

),

rejected as (

    select count(*) as rejected_records
    from (
        select distinct
            log_id,
            topic,
            topic_partition,
            record_offset
        from {{ base }}
        where
            outcome = 'rejected'
            and _batch_id in {{ commits_seen_by(dead_letters.identifier) }}
    ) as distinct_records

),

kept as (

    select count(*) as dead_letters from {{ dead_letters }}
    where stream = '{{ stream }}'

),

whole_stream as (

    select
        coalesce(sum(accepted_records + late_records + duplicate_records), 0) as valid_records
    from partitions

),

compared as (

    select
        'partition ' || topic_partition || ' of ' || topic || ' (' || log_id || ')' as what,
        landed_records as records,
        accepted_records + late_records + duplicate_records + rejected_records as accounted_for,
        contradicted_records
    from partitions
    union all
    select
        'accepted, late and duplicate records: staged events and their duplicates' as what,
        whole_stream.valid_records as records,
        staged.staged_events + staged.staged_duplicates as accounted_for,
        0 as contradicted_records
    from whole_stream
    cross join staged
    union all
    select
        'rejected records: dead letters' as what,
        rejected.rejected_records as records,
        kept.dead_letters as accounted_for,
        0 as contradicted_records
    from rejected
    cross join kept

)

select * from compared
where
    records <> accounted_for
    or contradicted_records > 0

{% endtest %}
