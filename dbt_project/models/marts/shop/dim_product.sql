{%- set upstreams = ['log_shop__products', 'stg_shop__transaction_items'] -%}
{{ follow(upstreams, key='product_id', affected='affected_product_members') }}
{%- set tracked = [
    ('sku', 'text'),
    ('product_name', 'text'),
    ('category', 'text'),
    ('unit_price', 'decimal(12,2)'),
    ('is_active', 'bool'),
    ('created_at', 'timestamp'),
] %}

with

versions as (

    select *
    from {{ type_2_versions(
        'shop', 'products', 'product_id', tracked, affected_product_members, upstreams
    ) }} as replayed

),

items as (

    select * from {{ ref('stg_shop__transaction_items') }}
    where
        not is_deleted
        and {{ is_affected('product_id', affected_product_members, upstreams) }}

),

known_members as (

    select
        product_id,
        sku,
        product_name,
        category,
        'known' as member_kind,
        unit_price,
        is_active,
        created_at,
        valid_from,
        valid_to
    from versions

),

inferred_members as (

    select distinct
        items.product_id,
        cast(null as {{ dbt.type_string() }}) as sku,
        cast(null as {{ dbt.type_string() }}) as product_name,
        'unknown' as category,
        'inferred' as member_kind,
        cast(null as decimal(12, 2)) as unit_price,
        cast(null as boolean) as is_active,
        cast(null as {{ timestamp_type() }}) as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to
    from items
    left join versions
        on items.product_id = versions.product_id
    where
        items.product_id is not null
        and versions.product_id is null

),

members as (

    select * from known_members
    union all
    select * from inferred_members

),

keyed as (

    select
        {{ member_key(
            'product', [('product_id', 'int'), ('valid_from', 'timestamp')]
        ) }} as product_key,
        members.*
    from members

),

with_unknown as (

    select * from keyed

    {% if not is_incremental() -%}
    union all

    select
        {{ unknown_key() }} as product_key,
        null as product_id,
        null as sku,
        null as product_name,
        'unknown' as category,
        'unknown' as member_kind,
        null as unit_price,
        null as is_active,
        null as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to
    {%- endif %}

),

final as (

    select
        -- ids
        product_key,
        product_id,

        -- strings
        sku,
        product_name,
        category,
        member_kind,

        -- numerics
        unit_price,

        -- booleans
        is_active,
        valid_to = {{ open_end() }} as is_current,

        -- timestamps
        created_at,
        valid_from,
        valid_to
    from with_unknown

)

select * from final
