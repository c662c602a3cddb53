-- A failing row is a version that overlaps its successor, or leaves a gap before it although no
-- tombstone explains one, or ends before it begins; or a first version that does not reach back to
-- the beginning; or a member with an end although it was never deleted.
with

{% for id, base in [
    ('customer_id', 'base_shop__customers'),
    ('product_id', 'base_shop__products'),
    ('campaign_id', 'base_shop__campaigns'),
] -%}
tombstones_by_{{ id }} as (

    select distinct
        {{ id }} as id,
        _extracted_at as noticed_at
    from {{ ref(base) }}
    where _op = 'delete'

),

{% endfor -%}
versions as (

    {% for dimension, id in [
        ('dim_customer', 'customer_id'),
        ('dim_product', 'product_id'),
        ('dim_campaign', 'campaign_id'),
    ] -%}
    select
        '{{ dimension }}' as dimension,
        dimension.{{ id }} as id,
        dimension.valid_from,
        dimension.valid_to,
        dimension.is_current,
        lag(dimension.valid_to) over (
            partition by dimension.{{ id }} order by dimension.valid_from asc nulls last
        ) as previous_valid_to,
        lead(dimension.valid_from) over (
            partition by dimension.{{ id }} order by dimension.valid_from asc nulls last
        ) as next_valid_from,
        tombstones.noticed_at is not null as ends_by_deletion
    from {{ ref(dimension) }} as dimension
    left join tombstones_by_{{ id }} as tombstones
        on
            dimension.{{ id }} = tombstones.id
            and dimension.valid_to = tombstones.noticed_at
    where dimension.{{ id }} is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from versions
where
    valid_from >= valid_to
    or next_valid_from < valid_to
    or (coalesce(next_valid_from, {{ open_end() }}) > valid_to and not ends_by_deletion)
    or (previous_valid_to is null and valid_from <> {{ beginning_of_time() }})
