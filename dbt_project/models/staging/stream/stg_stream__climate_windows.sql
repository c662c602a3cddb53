{%- set upstreams = ['log_stream__climate_windows'] -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_climate_windows') }}

with

versions as (

    select * from {{ ref('log_stream__climate_windows') }}
    where {{ is_affected('(device, window_start)', affected_climate_windows, upstreams) }}

),

windows as (

    select * from {{ stream_windows(stream_measures('climate')) }}

)

select * from windows
