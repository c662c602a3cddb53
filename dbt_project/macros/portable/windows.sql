{# The start of the window of that many minutes in which an instant lies; minutes divide an hour. #}
{% macro window_of(instant, minutes) -%}
    {%- if target.type == 'spark' -%}
        timestamp_seconds(floor(unix_seconds({{ instant }}) / {{ minutes * 60 }}) * {{ minutes * 60 }})
    {%- else -%}
        time_bucket(interval '{{ minutes }}' minute, {{ instant }})
    {%- endif -%}
{%- endmacro %}
