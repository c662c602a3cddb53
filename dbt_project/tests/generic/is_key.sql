{#
    A failing row is a combination of the columns that more than one row has, or that holds a NULL.

    model: the model.
    columns: the columns that together tell its rows apart.
#}
{% test is_key(model, columns) %}

select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having
    count(*) > 1
    {%- for column in columns %}
    or {{ column }} is null
    {%- endfor %}

{% endtest %}
