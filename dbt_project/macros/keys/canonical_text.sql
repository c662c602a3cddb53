{#
    One text per value, the same on every engine: its length, a colon, the value; '-' for NULL. The
    length keeps ('a', 'bc') apart from ('ab', 'c') and NULL apart from ''.

    expression: a column or SQL expression.
    kind: text, int, bool, date, timestamp, decimal(p,s), bytes or approximate. The last only where
        its text leaves the engine in no key: engines print such numbers differently.
#}
{% macro canonical_text(expression, kind) -%}
    {%- if kind == 'timestamp' -%}
        {%- set text = 'cast(' ~ epoch_microseconds(expression) ~ ' as ' ~ dbt.type_string() ~ ')' -%}
    {%- elif kind.startswith('decimal(') -%}
        {%- set text = 'cast(cast(' ~ expression ~ ' as ' ~ kind ~ ') as ' ~ dbt.type_string() ~ ')' -%}
    {%- elif kind == 'bytes' -%}
        {%- set text = 'hex(' ~ expression ~ ')' -%}
    {%- elif kind in ('text', 'int', 'bool', 'date', 'approximate') -%}
        {%- set text = 'cast(' ~ expression ~ ' as ' ~ dbt.type_string() ~ ')' -%}
    {%- else -%}
        {%- do exceptions.raise_compiler_error(
            'canonical_text has no kind ' ~ kind ~ '; use text, int, bool, date, timestamp, '
            ~ 'decimal(p,s), bytes or approximate'
        ) -%}
    {%- endif -%}
    coalesce(cast(length({{ text }}) as {{ dbt.type_string() }}) || ':' || {{ text }}, '-')
{%- endmacro %}
