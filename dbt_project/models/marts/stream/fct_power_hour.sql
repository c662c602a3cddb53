{%- set upstreams = ['fct_power_minute'] -%}
{%- set longer = '(device, ' ~ window_of('window_start', 60) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_power_hours') }}

with

minutes as (

    select * from {{ ref('fct_power_minute') }}
    where {{ is_affected(longer, affected_power_hours, upstreams) }}

),

longer_windows as (

    select * from {{ stream_rollup(stream_measures('power'), 60) }}

)

select * from longer_windows
