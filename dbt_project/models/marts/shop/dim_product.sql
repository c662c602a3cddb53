with

versions as (

    select * from {{ ref('base_shop__products') }}
    where
        product_id is not null
        and {{ opens_a_version('shop', 'products') }}

),

history as (

    select * from {{ type_2([
        'product_id', 'sku', 'product_name', 'category', 'unit_price', 'is_active',
        'created_at',
    ]) }} as replayed

),

items as (

    select * from {{ ref('int_shop__transaction_items_accepted') }}

),

known_members as (

    select
        history.*,
        'known' as member_kind
    from history

),

inferred_members as (

    select distinct
        items.product_id,
        cast(null as {{ dbt.type_string() }}) as sku,
        cast(null as {{ dbt.type_string() }}) as product_name,
        'unknown' as category,
        cast(null as decimal(12, 2)) as unit_price,
        cast(null as boolean) as is_active,
        cast(null as {{ timestamp_type() }}) as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'inferred' as member_kind
    from items
    left join history
        on items.product_id = history.product_id
    where
        items.product_id is not null
        and history.product_id is null

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

    union all

    select
        {{ unknown_key() }} as product_key,
        null as product_id,
        null as sku,
        null as product_name,
        'unknown' as category,
        null as unit_price,
        null as is_active,
        null as created_at,
        {{ beginning_of_time() }} as valid_from,
        {{ open_end() }} as valid_to,
        'unknown' as member_kind

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
