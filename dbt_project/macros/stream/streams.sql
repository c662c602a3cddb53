{#
    A stream is declared once, under `vars: streams:` in dbt_project.yml, where the application reads
    it too. Its models differ by its name and its measures only, so each kind is written once in this
    folder and called by one line in the model's file. `docs/add-a-stream.md` adds one.
#}

{# Names of all declared streams. #}
{% macro stream_names() -%}
    {{- return(var('streams').keys() | list) -}}
{%- endmacro %}


{# The numbers that every event of a stream carries. #}
{% macro stream_measures(stream) -%}
    {{- return(var('streams')[stream].measures.keys() | list) -}}
{%- endmacro %}


{# The texts that every event of a stream carries. #}
{% macro stream_attributes(stream) -%}
    {{- return(var('streams')[stream].attributes) -}}
{%- endmacro %}


{# For affected_keys: device and minute of the events that new commits brought. #}
{% macro minutes_of_new_events(stream) -%}
    select device, {{ window_of('event_at', 1) }} as window_start
    from {{ ref('base_stream__' ~ stream ~ '_events') }}
    where device is not null and {{ is_new_commit() }}
{%- endmacro %}


{# For affected_keys: device and minute of which the stream said something in new commits. #}
{% macro minutes_of_new_windows(stream) -%}
    select device, window_start
    from {{ ref('base_stream__' ~ stream ~ '_windows') }}
    where {{ is_new_commit() }}
{%- endmacro %}


{# Smallest, largest, sum and mean of each measure of a relation that holds the first three. #}
{% macro measure_columns(measures, relation) -%}
    {%- for measure in measures %}
            {{ relation }}.{{ measure }}_sum,
            {{ relation }}.{{ measure }}_min,
            {{ relation }}.{{ measure }}_max,
            {{ exact_ratio(relation ~ '.' ~ measure ~ '_sum', relation ~ '.event_count') }}
                as {{ measure }}_avg
            {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
