{{ config(materialized='table') }}

{#- Of each table: the model whose broken_rules decide what is clean. -#}
{%- set tables = [
    ('shop', 'customers', 'stg_shop__customers'),
    ('shop', 'products', 'stg_shop__products'),
    ('shop', 'campaigns', 'stg_shop__campaigns'),
    ('shop', 'transactions', 'int_shop__transactions_validated'),
    ('shop', 'transaction_items', 'int_shop__transaction_items_validated'),
] -%}

with

landed as (

    {% for source_name, table_name, validated in tables -%}
    select
        '{{ source_name }}' as source_name,
        '{{ table_name }}' as table_name,
        count(*) as raw_rows,
        count(*) - count(distinct _record_key) as repeated_rows
    from {{ ref('base_' ~ source_name ~ '__' ~ table_name) }}
    union all
    {% endfor -%}
    {% for stream in stream_names() -%}
    select
        'stream' as source_name,
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
        'stream' as source_name,
        '{{ stream }}_windows' as table_name,
        count(*) as raw_rows,
        count(*) - count(distinct (log_id, topic, topic_partition, device, window_start))
            as repeated_rows
    from {{ ref('base_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

decided as (

    {% for source_name, table_name, validated in tables -%}
    select
        '{{ source_name }}' as source_name,
        '{{ table_name }}' as table_name,
        coalesce(sum(case when broken_rules = '' then 1 else 0 end), 0) as clean_rows,
        coalesce(sum(case when broken_rules <> '' then 1 else 0 end), 0) as quarantined_rows
    from {{ ref(validated) }}
    union all
    {% endfor -%}
    {% for stream in stream_names() -%}
    select
        'stream' as source_name,
        '{{ stream }}_events' as table_name,
        count(*) as clean_rows,
        (
            select count(*) from {{ ref('stream_dead_letter') }} where stream = '{{ stream }}'
        ) as quarantined_rows
    from {{ ref('stg_stream__' ~ stream ~ '_events') }}
    union all
    select
        'stream' as source_name,
        '{{ stream }}_windows' as table_name,
        count(*) as clean_rows,
        0 as quarantined_rows
    from {{ ref('stg_stream__' ~ stream ~ '_windows') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

accounted as (

    select
        landed.source_name,
        landed.table_name,
        cast(landed.raw_rows as bigint) as raw_rows,
        cast(decided.clean_rows as bigint) as clean_rows,
        cast(decided.quarantined_rows as bigint) as quarantined_rows,
        cast(landed.repeated_rows as bigint) as repeated_rows
    from landed
    inner join decided
        on
            landed.source_name = decided.source_name
            and landed.table_name = decided.table_name

)

select * from accounted
