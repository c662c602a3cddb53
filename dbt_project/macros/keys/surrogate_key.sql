{#
    A key that is the same after a rebuild and on another engine: the MD5 of the values' canonical
    texts, 32 lower-case hexadecimal digits, never NULL.

    parts: pairs of expression and kind, as for `canonical_text`.
#}
{% macro surrogate_key(parts) -%}
    {%- set texts = [] -%}
    {%- for expression, kind in parts -%}
        {%- do texts.append(canonical_text(expression, kind)) -%}
    {%- endfor -%}
    {#- A function, as a chain of operators is too deep for the parser with hundreds of columns. -#}
    md5(concat_ws(',', {{ texts | join(', ') }}))
{%- endmacro %}
