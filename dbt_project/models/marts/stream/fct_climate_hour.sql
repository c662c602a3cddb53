{%- set upstreams = ['fct_climate_minute'] -%}
{%- set longer = '(device, ' ~ window_of('window_start', 60) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_climate_hours') }}

with

minutes as (

    select * from {{ ref('fct_climate_minute') }}
    where {{ is_affected(longer, affected_climate_hours, upstreams) }}

),

longer_windows as (

    select * from {{ stream_rollup(stream_measures('climate'), 60) }}

)

select * from longer_windows
