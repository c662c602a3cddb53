{{ config(materialized='table') }}

{#- Of each table of the shop: the model whose broken_rules decide what is clean. -#}
{%- set tables = {
    'customers': 'stg_shop__customers',
    'products': 'stg_shop__products',
    'campaigns': 'stg_shop__campaigns',
    'transactions': 'int_shop__transactions_validated',
    'transaction_items': 'int_shop__transaction_items_validated',
} %}

{{ accounting('shop', tables) }}
