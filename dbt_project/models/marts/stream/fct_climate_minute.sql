{%- set upstreams = ['stg_stream__climate_events', 'stg_stream__climate_windows'] -%}
{%- set minute = '(device, ' ~ window_of('event_at', 1) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_climate_minutes') }}

with

events as (

    select * from {{ ref('stg_stream__climate_events') }}
    where {{ is_affected(minute, affected_climate_minutes, upstreams) }}

),

windows as (

    select * from {{ ref('stg_stream__climate_windows') }}
    where {{ is_affected('(device, window_start)', affected_climate_minutes, upstreams) }}

),

minutes as (

    select * from {{ stream_minutes(stream_measures('climate')) }}

)

select * from minutes
order by window_start asc, device asc
