{%- set upstreams = ['log_stream__power_windows'] -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_power_windows') }}

with

versions as (

    select * from {{ ref('log_stream__power_windows') }}
    where {{ is_affected('(device, window_start)', affected_power_windows, upstreams) }}

),

windows as (

    select * from {{ stream_windows(stream_measures('power')) }}

)

select * from windows
