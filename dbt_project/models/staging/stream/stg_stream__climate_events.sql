{%- set upstreams = ['log_stream__climate_events'] -%}
{{ follow(upstreams, key='(device, event_at)', affected='affected_climate_events') }}

with

records as (

    select * from {{ ref('log_stream__climate_events') }}
    where
        outcome <> 'rejected'
        and {{ is_affected('(device, event_at)', affected_climate_events, upstreams) }}

),

events as (

    select * from {{ stream_events([], stream_measures('climate')) }}

)

select * from events
order by event_at asc, device asc
