{#
    Which keys of the shop can have changed by the commits that `upstreams` have read and this model
    has not. Each macro renders one select of one column. Too many keys cost time, one too few costs
    the truth: links are followed through every version ever landed, so that a row that moved from
    one parent to another affects both, and a tombstone, which carries only its key, affects all it
    was ever linked to.
#}

{% macro affected_customers(upstreams) -%}
    select customer_id from {{ ref('log_shop__customers') }}
    where _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{% macro affected_products(upstreams) -%}
    select product_id from {{ ref('log_shop__products') }}
    where _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{% macro affected_campaigns(upstreams) -%}
    select campaign_id from {{ ref('log_shop__campaigns') }}
    where _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{# Items by their own commits alone: before anything else about them is judged. #}
{% macro landed_transaction_items(upstreams) -%}
    select transaction_item_id from {{ ref('log_shop__transaction_items') }}
    where _batch_id in {{ changed_batches(upstreams) }}
{%- endmacro %}


{# A transaction is judged together with its items and its customer. #}
{% macro affected_transactions(upstreams) -%}
    select transaction_id from {{ ref('log_shop__transactions') }}
    where
        _batch_id in {{ changed_batches(upstreams) }}
        or customer_id in ({{ affected_customers(upstreams) }})
    union
    select transaction_id from {{ ref('log_shop__transaction_items') }}
    where
        _batch_id in {{ changed_batches(upstreams) }}
        or transaction_item_id in ({{ landed_transaction_items(upstreams) }})
{%- endmacro %}


{# An item is accepted or refused together with its transaction. #}
{% macro affected_transaction_items(upstreams) -%}
    select transaction_item_id from {{ ref('log_shop__transaction_items') }}
    where
        _batch_id in {{ changed_batches(upstreams) }}
        or transaction_id in ({{ affected_transactions(upstreams) }})
{%- endmacro %}


{# Members of dim_customer: those that changed, and those that sales began or ceased to name. #}
{% macro affected_customer_members(upstreams) -%}
    {{ affected_customers(upstreams) }}
    union
    select customer_id from {{ ref('log_shop__transactions') }}
    where transaction_id in ({{ affected_transactions(upstreams) }})
{%- endmacro %}


{% macro affected_product_members(upstreams) -%}
    {{ affected_products(upstreams) }}
    union
    select product_id from {{ ref('log_shop__transaction_items') }}
    where transaction_item_id in ({{ affected_transaction_items(upstreams) }})
{%- endmacro %}


{% macro affected_campaign_members(upstreams) -%}
    {{ affected_campaigns(upstreams) }}
    union
    select campaign_id from {{ ref('log_shop__transactions') }}
    where transaction_id in ({{ affected_transactions(upstreams) }})
{%- endmacro %}


{# A sale is its item, its transaction and the dimension members valid at its time. #}
{% macro affected_sales(upstreams) -%}
    {{ affected_transaction_items(upstreams) }}
    union
    select transaction_item_id from {{ ref('log_shop__transaction_items') }}
    where
        product_id in ({{ affected_products(upstreams) }})
        or transaction_id in (
            select transaction_id from {{ ref('log_shop__transactions') }}
            where campaign_id in ({{ affected_campaigns(upstreams) }})
        )
{%- endmacro %}
