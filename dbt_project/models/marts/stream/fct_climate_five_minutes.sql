{%- set upstreams = ['fct_climate_minute'] -%}
{%- set longer = '(device, ' ~ window_of('window_start', 5) ~ ')' -%}
{{ follow(upstreams, key='(device, window_start)', affected='affected_climate_five_minutes') }}

with

minutes as (

    select * from {{ ref('fct_climate_minute') }}
    where {{ is_affected(longer, affected_climate_five_minutes, upstreams) }}

),

longer_windows as (

    select * from {{ stream_rollup(stream_measures('climate'), 5) }}

)

select * from longer_windows
