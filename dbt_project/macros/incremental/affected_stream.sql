{#
    Which keys of the streams can have changed by the commits that `upstreams` have read and this
    model has not. The rules are the same for every stream and stand at the end; `follow` calls the
    macros above them by their names.
#}

{% macro affected_power_events(upstreams) -%}
    {{ events_of_commits('power', upstreams) }}
{%- endmacro %}


{% macro affected_climate_events(upstreams) -%}
    {{ events_of_commits('climate', upstreams) }}
{%- endmacro %}


{% macro affected_power_windows(upstreams) -%}
    {{ windows_of_commits('power', upstreams, 1) }}
{%- endmacro %}


{% macro affected_climate_windows(upstreams) -%}
    {{ windows_of_commits('climate', upstreams, 1) }}
{%- endmacro %}


{# A partition's recounted minutes: by their events alone. #}
{% macro affected_power_recounts(upstreams) -%}
    {{ event_windows_of_commits('power', upstreams, 1) }}
{%- endmacro %}


{% macro affected_climate_recounts(upstreams) -%}
    {{ event_windows_of_commits('climate', upstreams, 1) }}
{%- endmacro %}


{% macro affected_power_minutes(upstreams) -%}
    {{ all_windows_of_commits('power', upstreams, 1) }}
{%- endmacro %}


{% macro affected_climate_minutes(upstreams) -%}
    {{ all_windows_of_commits('climate', upstreams, 1) }}
{%- endmacro %}


{% macro affected_power_five_minutes(upstreams) -%}
    {{ all_windows_of_commits('power', upstreams, 5) }}
{%- endmacro %}


{% macro affected_climate_five_minutes(upstreams) -%}
    {{ all_windows_of_commits('climate', upstreams, 5) }}
{%- endmacro %}


{% macro affected_power_hours(upstreams) -%}
    {{ all_windows_of_commits('power', upstreams, 60) }}
{%- endmacro %}


{% macro affected_climate_hours(upstreams) -%}
    {{ all_windows_of_commits('climate', upstreams, 60) }}
{%- endmacro %}


{# Rejected records of all streams: a record is its place in the topic. #}
{% macro affected_rejected_records(upstreams) -%}
    {%- for stream in ['power', 'climate'] %}
    select log_id, topic, topic_partition, record_offset
    from {{ ref('log_stream__' ~ stream ~ '_events') }}
    where outcome = 'rejected' and _batch_id in {{ changed_batches(upstreams) }}
    {{ 'union' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Late events of all streams: with any record of the same event, since one of them is counted. #}
{% macro affected_late_events(upstreams) -%}
    {%- for stream in ['power', 'climate'] %}
    select '{{ stream }}' as stream, affected.device, affected.event_at
    from ({{ events_of_commits(stream, upstreams) }}) as affected
    {{ 'union' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Device and time of the events. #}
{% macro events_of_commits(stream, upstreams) -%}
    select device, event_at
    from {{ ref('log_stream__' ~ stream ~ '_events') }}
    where device is not null and _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{# Device and start of the windows in which events lie. #}
{% macro event_windows_of_commits(stream, upstreams, length) -%}
    select device, {{ window_of('event_at', length) }} as window_start
    from {{ ref('log_stream__' ~ stream ~ '_events') }}
    where device is not null and _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{# Device and start of the windows of which the stream told. #}
{% macro windows_of_commits(stream, upstreams, length) -%}
    select device, {{ window_of('window_start', length) }} as window_start
    from {{ ref('log_stream__' ~ stream ~ '_windows') }}
    where _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{# Both: a minute is its events, and whether it is final. #}
{% macro all_windows_of_commits(stream, upstreams, length) -%}
    {{ event_windows_of_commits(stream, upstreams, length) }}
    union
    {{ windows_of_commits(stream, upstreams, length) }}
{%- endmacro %}
