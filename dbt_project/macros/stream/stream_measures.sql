{# The numbers that every event of a stream carries; `streaming/config.py` bounds the same ones. #}
{% macro stream_measures(stream) -%}
    {{- return({
        'power': ['watt', 'volt', 'ampere'],
        'climate': ['temperature', 'humidity', 'pressure'],
    }[stream]) -}}
{%- endmacro %}
