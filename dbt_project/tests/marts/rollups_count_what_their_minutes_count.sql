-- A failing row is a roll-up whose counts do not add up to those of the minute mart.
{% set counts = ['event_count', 'late_count', 'duplicate_count', 'live_count'] -%}
{% for stream in stream_names() -%}
{% set outer_loop = loop -%}
{% for rollup in ['five_minutes', 'hour'] -%}
select
    'fct_{{ stream }}_{{ rollup }}' as mart,
    {%- for count in counts %}
    rollup.{{ count }} as {{ count }},
    minutes.{{ count }} as {{ count }}_of_minutes
    {{- ',' if not loop.last }}
    {%- endfor %}
from (
    select
        {%- for count in counts %}
        coalesce(sum({{ count }}), 0) as {{ count }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fct_' ~ stream ~ '_' ~ rollup) }}
) as rollup
cross join (
    select
        {%- for count in counts %}
        coalesce(sum({{ count }}), 0) as {{ count }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fct_' ~ stream ~ '_minute') }}
) as minutes
where
    {%- for count in counts %}
    {{ 'or ' if not loop.first }}rollup.{{ count }} <> minutes.{{ count }}
    {%- endfor %}
{{ 'union all' if not (loop.last and outer_loop.last) }}
{% endfor %}
{%- endfor %}
