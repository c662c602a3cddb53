{%- set upstreams = ['fct_power_minute'] -%}
{%- set longer = '(device, ' ~ window_of('window_start', 5) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_power_five_minutes') }}

with

minutes as (

    select * from {{ ref('fct_power_minute') }}
    where {{ is_affected(longer, affected_power_five_minutes, upstreams) }}

),

longer_windows as (

    select * from {{ stream_rollup(stream_measures('power'), 5) }}

)

select * from longer_windows
