{%- set upstreams = ['stg_stream__power_events', 'stg_stream__power_windows'] -%}
{%- set minute = '(device, ' ~ window_of('event_at', 1) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_power_minutes') }}

with

events as (

    select * from {{ ref('stg_stream__power_events') }}
    where {{ is_affected(minute, affected_power_minutes, upstreams) }}

),

windows as (

    select * from {{ ref('stg_stream__power_windows') }}
    where {{ is_affected('(device, window_start)', affected_power_minutes, upstreams) }}

),

minutes as (

    select * from {{ stream_minutes(stream_measures('power')) }}

)

select * from minutes
order by window_start asc, device asc
