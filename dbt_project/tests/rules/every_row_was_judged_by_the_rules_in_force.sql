-- A failing row is a table that holds verdicts of other rules than those declared now: the rules
-- were changed, so `dbt build --full-refresh` has to decide the old rows anew.
{% for table, key in [
    ('customers', 'customer_id'),
    ('products', 'product_id'),
    ('campaigns', 'campaign_id'),
    ('transactions', 'transaction_id'),
    ('transaction_items', 'transaction_item_id'),
] -%}
select
    '{{ table }}' as table_name,
    rule_version,
    {{ rule_version('shop', table, key) }} as rule_version_in_force,
    count(*) as judged_rows
from {{ ref('int_shop__' ~ table ~ '_judged') }}
where rule_version <> {{ rule_version('shop', table, key) }}
group by rule_version
{{ 'union all' if not loop.last }}
{% endfor %}
