{# Keys of dimension members. #}

{#
    The surrogate key of a member. The dimension's name is part of it, so that a fact whose keys are
    swapped fails its relationship tests although the ids of both dimensions overlap.

    dimension: what the member is, for example 'customer'.
    parts: pairs of expression and kind, as for `surrogate_key`.
#}
{% macro member_key(dimension, parts) -%}
    {{- surrogate_key([("'" ~ dimension ~ "'", 'text')] + parts) -}}
{%- endmacro %}


{# Fixed: the member of facts whose natural id is NULL. No MD5 is expected to hit it. #}
{% macro unknown_key() -%}
    '{{ '0' * 32 }}'
{%- endmacro %}


{# Fixed: the member of facts that have no such thing, a sale without a campaign. #}
{% macro none_key() -%}
    '{{ '0' * 31 }}1'
{%- endmacro %}
