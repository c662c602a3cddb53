{#
    Pairs of name and type: the columns of a stream's raw files, in their order. The application
    writes the same ones (`streaming/landing.py`); a test holds the two together.

    stream: name of the stream.
    holds: events or windows.
#}
{% macro raw_stream_columns(stream, holds) %}
    {%- set columns = [
        ('log_id', 'varchar'), ('topic', 'varchar'), ('topic_partition', 'integer'),
    ] -%}
    {%- if holds == 'events' -%}
        {%- do columns.extend([
            ('record_offset', 'bigint'), ('broker_at', 'timestamptz'), ('outcome', 'varchar'),
            ('reasons', 'varchar'), ('device', 'varchar'), ('event_at', 'timestamptz'),
        ]) -%}
        {%- for attribute in stream_attributes(stream) -%}
            {%- do columns.append((attribute, 'varchar')) -%}
        {%- endfor -%}
        {%- for measure in stream_measures(stream) -%}
            {%- do columns.append((measure, 'decimal(18,6)')) -%}
        {%- endfor -%}
        {%- do columns.extend([
            ('watermark_at', 'timestamptz'), ('heard_at', 'timestamptz'),
            ('record_key', 'blob'), ('payload', 'blob'),
        ]) -%}
    {%- else -%}
        {%- do columns.extend([
            ('version', 'bigint'), ('through_offset', 'bigint'), ('device', 'varchar'),
            ('window_start', 'timestamptz'), ('window_end', 'timestamptz'), ('is_final', 'boolean'),
            ('event_count', 'bigint'), ('duplicate_count', 'bigint'),
        ]) -%}
        {%- for measure in stream_measures(stream) -%}
            {%- for what in ['sum', 'min', 'max'] -%}
                {%- do columns.append((measure ~ '_' ~ what, 'decimal(18,6)')) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(columns) -}}
{% endmacro %}
