{%- set upstreams = ['log_stream__power_events'] -%}
{%- set minute = '(device, ' ~ window_of('event_at', 1) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_power_recounts') }}

with

records as (

    select * from {{ ref('log_stream__power_events') }}
    where
        outcome in ('accepted', 'duplicate')
        and {{ is_affected(minute, affected_power_recounts, upstreams) }}

),

minutes as (

    select * from {{ stream_recount(stream_measures('power')) }}

)

select * from minutes
