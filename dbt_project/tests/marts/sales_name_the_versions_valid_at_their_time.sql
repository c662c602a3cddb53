-- A failing row is a sale that names a member of another id, the unknown member although it has an
-- id, or a version of which a later one had begun when it was sold.
with

sales as (

    select * from {{ ref('fct_sales') }}

),

versions as (

    {% for dimension, id, key in [
        ('dim_customer', 'customer_id', 'customer_key'),
        ('dim_product', 'product_id', 'product_key'),
        ('dim_campaign', 'campaign_id', 'campaign_key'),
    ] -%}
    select
        '{{ dimension }}' as dimension,
        {{ key }} as member_key,
        {{ id }} as id,
        valid_from,
        case
            when {{ id }} is null then {{ open_end() }}
            else {{ responsible_until(id) }}
        end as responsible_until
    from {{ ref(dimension) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

named as (

    {% for dimension, id, key in [
        ('dim_customer', 'customer_id', 'customer_key'),
        ('dim_product', 'product_id', 'product_key'),
        ('dim_campaign', 'campaign_id', 'campaign_key'),
    ] -%}
    select
        '{{ dimension }}' as dimension,
        {{ key }} as member_key,
        {{ id }} as id,
        transaction_item_id,
        sold_at
    from sales
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    named.dimension,
    named.transaction_item_id,
    named.sold_at,
    named.id as sold_id,
    versions.id as member_id,
    versions.valid_from,
    versions.responsible_until
from named
inner join versions
    on
        named.dimension = versions.dimension
        and named.member_key = versions.member_key
where
    coalesce(named.id, -1) <> coalesce(versions.id, -1)
    or named.sold_at < versions.valid_from
    or named.sold_at >= versions.responsible_until
