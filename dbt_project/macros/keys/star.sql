{#
    All columns of a relation but some, each with the relation's name in front, as dbt_utils.star does.

    relation: a ref() to a model that is built.
    name: what the relation is called in the query.
    except: names of columns to leave out.
#}
{% macro star(relation, name, except=[]) -%}
    {%- set columns = [] -%}
    {%- if execute -%}
        {%- for column in adapter.get_columns_in_relation(relation) if column.name not in except -%}
            {%- do columns.append(name ~ '.' ~ column.name) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ columns | join(',\n        ') or name ~ '.*' }}
{%- endmacro %}
