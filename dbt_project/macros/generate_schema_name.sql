{#
    Schemas are named exactly as configured, without the target's name in front: the warehouse is
    one file a checkout, so nothing has to be kept apart, and readers see `marts`, not `main_marts`.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
