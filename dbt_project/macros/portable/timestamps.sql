{# What engines spell differently about instants. Everything else in the models is shared SQL. #}

{% macro timestamp_type() -%}
    {{ 'timestamp' if target.type == 'spark' else 'timestamptz' }}
{%- endmacro %}


{% macro timestamp_literal(text) -%}
    cast('{{ text }}+00:00' as {{ timestamp_type() }})
{%- endmacro %}


{# Microseconds since 1970-01-01 UTC: an instant as text differs between engines, this does not. #}
{% macro epoch_microseconds(expression) -%}
    {{ 'unix_micros' if target.type == 'spark' else 'epoch_us' }}({{ expression }})
{%- endmacro %}


{# The end of a version that is still valid. #}
{% macro open_end() -%}
    {{ timestamp_literal('9999-12-31 00:00:00') }}
{%- endmacro %}


{# The start of the first version we know: sales before our first extraction find a member. #}
{% macro beginning_of_time() -%}
    {{ timestamp_literal('1900-01-01 00:00:00') }}
{%- endmacro %}
