{%- set upstreams = ['log_stream__power_events'] -%}
{{ follow(upstreams, key='(device, event_at)', affected='affected_power_events') }}

with

records as (

    select * from {{ ref('log_stream__power_events') }}
    where
        outcome <> 'rejected'
        and {{ is_affected('(device, event_at)', affected_power_events, upstreams) }}

),

events as (

    select * from {{ stream_events(['city'], stream_measures('power')) }}

)

select * from events
order by event_at asc, device asc
