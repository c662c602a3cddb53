{{ config(materialized='table') }}

with

landed as (

    {% for stream in stream_names() -%}
    select
        '{{ stream }}_events' as table_name,
        count(*) as row_count
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    union all
    select
        '{{ stream }}_windows' as table_name,
        count(*) as row_count
    from {{ ref('base_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- A record is its place in the topic, a window its device and minute in a partition.
keys as (

    {% for stream in stream_names() -%}
    select distinct
        '{{ stream }}_events' as table_name,
        log_id,
        topic,
        topic_partition,
        record_offset,
        cast(null as {{ dbt.type_string() }}) as device,
        cast(null as {{ timestamp_type() }}) as window_start
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    union all
    select distinct
        '{{ stream }}_windows' as table_name,
        log_id,
        topic,
        topic_partition,
        cast(null as bigint) as record_offset,
        device,
        window_start
    from {{ ref('base_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

distinct_rows as (

    select
        table_name,
        count(*) as row_count
    from keys
    group by table_name

),

clean as (

    {% for stream in stream_names() -%}
    select
        '{{ stream }}_events' as table_name,
        count(*) as row_count,
        coalesce(sum(duplicate_count), 0) as duplicate_count
    from {{ ref('stg_stream__' ~ stream ~ '_events') }}
    union all
    select
        '{{ stream }}_windows' as table_name,
        count(*) as row_count,
        0 as duplicate_count
    from {{ ref('stg_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

rejected as (

    select
        stream || '_events' as table_name,
        count(*) as row_count
    from {{ ref('stream_dead_letter') }}
    group by stream

),

accounted as (

    select
        'stream' as source_name,
        landed.table_name,
        cast(landed.row_count as bigint) as raw_rows,
        cast(clean.row_count as bigint) as clean_rows,
        cast(coalesce(rejected.row_count, 0) as bigint) as quarantined_rows,
        cast(
            landed.row_count - coalesce(distinct_rows.row_count, 0) + clean.duplicate_count
            as bigint
        ) as repeated_rows
    from landed
    inner join clean
        on landed.table_name = clean.table_name
    left join distinct_rows
        on landed.table_name = distinct_rows.table_name
    left join rejected
        on landed.table_name = rejected.table_name

)

select * from accounted
