{{ config(group='shop') }}

-- A failing row is a live clean item that is not in the fact, or a sale without such an item.
with

items as (

    select * from {{ ref('int_shop__transaction_items_accepted') }}

),

sales as (

    select * from {{ ref('fct_sales') }}

)

select
    items.transaction_item_id as clean_item_id,
    sales.transaction_item_id as sold_item_id
from items
full outer join sales
    on items.transaction_item_id = sales.transaction_item_id
where
    items.transaction_item_id is null
    or sales.transaction_item_id is null
