{%- set upstreams = ['log_stream__climate_events'] -%}
{%- set minute = '(device, ' ~ window_of('event_at', 1) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_climate_recounts') }}

with

records as (

    select * from {{ ref('log_stream__climate_events') }}
    where
        outcome in ('accepted', 'duplicate')
        and {{ is_affected(minute, affected_climate_recounts, upstreams) }}

),

minutes as (

    select * from {{ stream_recount(stream_measures('climate')) }}

)

select * from minutes
