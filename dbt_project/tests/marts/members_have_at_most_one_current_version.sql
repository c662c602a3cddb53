-- A failing row is a member of a type 2 dimension with several current versions.
{% for dimension, id in [
    ('dim_customer', 'customer_id'),
    ('dim_product', 'product_id'),
    ('dim_campaign', 'campaign_id'),
] -%}
select
    '{{ dimension }}' as dimension,
    {{ id }} as id,
    count(*) as current_versions
from {{ ref(dimension) }}
where
    is_current
    and {{ id }} is not null
group by {{ id }}
having count(*) > 1
{{ 'union all' if not loop.last }}
{% endfor %}
