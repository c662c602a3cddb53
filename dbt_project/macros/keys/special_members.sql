{# Fixed keys of the members that no source row stands behind; no MD5 is expected to hit them. #}

{# The member of facts whose natural id is NULL or leads nowhere. #}
{% macro unknown_key() -%}
    '{{ '0' * 32 }}'
{%- endmacro %}


{# The member of facts that have no such thing: a sale without a campaign. #}
{% macro none_key() -%}
    '{{ '0' * 31 }}1'
{%- endmacro %}
