{#
    Until when a type 2 version answers for facts: until its successor begins. Within its validity,
    and also in the gap after a deletion, where a fact still belongs to the member as last known.
#}
{% macro responsible_until(key) -%}
    coalesce(
        lead(valid_from) over (partition by {{ key }} order by valid_from asc nulls last),
        {{ open_end() }}
    )
{%- endmacro %}
