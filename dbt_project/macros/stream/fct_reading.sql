{#
    The model fct_<stream>_reading: the staged events as readers get them, without where each came
    from in the topic.
#}
{% macro fct_stream_reading(stream) -%}
with

events as (

    select * from {{ ref('stg_stream__' ~ stream ~ '_events') }}

),

readings as (

    select
        {%- for column in ['device', 'event_at'] + stream_attributes(stream) + stream_measures(stream) %}
        {{ column }},
        {%- endfor %}
        is_late,
        duplicate_count,
        broker_at
    from events

)

select * from readings
{%- endmacro %}
