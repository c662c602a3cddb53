{#
    A failing row is a minute that the stream has given out as final and that its own accepted
    events contradict, with both sides of every number; or a minute with accepted events of which
    the stream has not landed its count although it has landed later ones.

    Only what can be decided is compared. Minutes and events of one checkpoint are two files, and a
    build can see either without the other:
    - A final minute is compared when the events through its version, the offset of the last record
      that changed it, have landed. A commit that can be seen before an earlier one leaves a gap in
      front of the newest commit; then the partition is taken to have landed up to the gap only.
      A gap further back is not waited for: nothing will fill it.
    - A minute must have been counted once the partition's minutes have landed through its last
      event. The newest of their commits is not relied on, since one before it may not be seen yet.

    model: the minute mart, where the check shows.
    windows: the staged windows, what the stream counted.
    recount: the minutes recounted from accepted events.
    base: the landed records of the stream.
    stream: name of the stream.
#}
{% test stream_agrees_with_the_recount(model, windows, recount, base, stream) %}

{%- set numbers = ['event_count', 'duplicate_count'] -%}
{%- for measure in stream_measures(stream) -%}
    {%- for what in ['sum', 'min', 'max'] -%}
        {%- do numbers.append(measure ~ '_' ~ what) -%}
    {%- endfor -%}
{%- endfor %}

with

windows as (

    select * from {{ windows }}

),

recounted as (

    select * from {{ recount }}

),

events_landed as (

    select
        log_id,
        topic,
        topic_partition,
        coalesce(
            min(case when is_newest and first_offset > landed_before + 1 then landed_before end),
            max(last_offset)
        ) as through_offset
    from {{ landed_offsets(base, recount.identifier) }} as landed
    group by log_id, topic, topic_partition

),

newest_counted as (

    select
        log_id,
        topic,
        topic_partition,
        max(through_offset) as through_offset
    from windows
    group by log_id, topic, topic_partition

),

minutes_landed as (

    select
        windows.log_id,
        windows.topic,
        windows.topic_partition,
        max(windows.through_offset) as through_offset
    from windows
    inner join newest_counted
        on
            windows.log_id = newest_counted.log_id
            and windows.topic = newest_counted.topic
            and windows.topic_partition = newest_counted.topic_partition
            and windows.through_offset < newest_counted.through_offset
    group by windows.log_id, windows.topic, windows.topic_partition

),

decidable as (

    select
        windows.*,
        'differs' as problem
    from windows
    inner join events_landed
        on
            windows.log_id = events_landed.log_id
            and windows.topic = events_landed.topic
            and windows.topic_partition = events_landed.topic_partition
            and windows.version <= events_landed.through_offset
    where windows.is_final

),

differing as (

    select
        decidable.problem,
        decidable.device,
        decidable.window_start,
        decidable.topic,
        decidable.topic_partition,
        decidable.log_id,
        {%- for number in numbers %}
        decidable.{{ number }} as stream_{{ number }},
        recounted.{{ number }} as recounted_{{ number }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from decidable
    left join recounted
        on
            decidable.log_id = recounted.log_id
            and decidable.topic = recounted.topic
            and decidable.topic_partition = recounted.topic_partition
            and decidable.device = recounted.device
            and decidable.window_start = recounted.window_start
    where
        recounted.last_offset is null
        or (
            recounted.last_offset <= decidable.version
            and (
                {%- for number in numbers %}
                {{ 'or ' if not loop.first }}decidable.{{ number }} <> recounted.{{ number }}
                {%- endfor %}
            )
        )

),

not_counted as (

    select
        'not counted' as problem,
        recounted.device,
        recounted.window_start,
        recounted.topic,
        recounted.topic_partition,
        recounted.log_id,
        {%- for number in numbers %}
        windows.{{ number }} as stream_{{ number }},
        recounted.{{ number }} as recounted_{{ number }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from recounted
    inner join minutes_landed
        on
            recounted.log_id = minutes_landed.log_id
            and recounted.topic = minutes_landed.topic
            and recounted.topic_partition = minutes_landed.topic_partition
            and recounted.last_offset <= minutes_landed.through_offset
    left join windows
        on
            recounted.log_id = windows.log_id
            and recounted.topic = windows.topic
            and recounted.topic_partition = windows.topic_partition
            and recounted.device = windows.device
            and recounted.window_start = windows.window_start
    where
        windows.version is null
        or windows.version < recounted.last_offset

)

select * from differing
union all
select * from not_counted

{% endtest %}
