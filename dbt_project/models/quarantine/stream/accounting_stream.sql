{{ config(materialized='table') }}

with

landed as (

    {% for stream in stream_names() -%}
    select
        '{{ stream }}_events' as table_name,
        count(*) as raw_rows,
        count(*) - count(distinct (log_id, topic, topic_partition, record_offset))
            + (
                select coalesce(sum(duplicate_count), 0)
                from {{ ref('stg_stream__' ~ stream ~ '_events') }}
            ) as repeated_rows
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    union all
    select
        '{{ stream }}_windows' as table_name,
        count(*) as raw_rows,
        count(*) - count(distinct (log_id, topic, topic_partition, device, window_start))
            as repeated_rows
    from {{ ref('base_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

decided as (

    {% for stream in stream_names() -%}
    select
        '{{ stream }}_events' as table_name,
        count(*) as clean_rows,
        (
            select count(*) from {{ ref('stream_dead_letter') }} where stream = '{{ stream }}'
        ) as quarantined_rows
    from {{ ref('stg_stream__' ~ stream ~ '_events') }}
    union all
    select
        '{{ stream }}_windows' as table_name,
        count(*) as clean_rows,
        0 as quarantined_rows
    from {{ ref('stg_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

accounted as (

    select
        'stream' as source_name,
        landed.table_name,
        cast(landed.raw_rows as bigint) as raw_rows,
        cast(decided.clean_rows as bigint) as clean_rows,
        cast(decided.quarantined_rows as bigint) as quarantined_rows,
        cast(landed.repeated_rows as bigint) as repeated_rows
    from landed
    inner join decided
        on landed.table_name = decided.table_name

)

select * from accounted
