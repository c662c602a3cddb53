{#
    What a row of the shop must fulfil to reach the marts: the only place where that is said. Clean
    models take the rows that break no rule, quarantine models take the others, so they are disjoint
    by construction.

    Each rule has
        id           its name in quarantine, unique in the project
        column       the column to look at first when mending the row
        expect       a condition that must be true
        scope        row: decided by the row alone, also for old versions in type 2 dimensions;
                     related: needs the columns that the table's judged model joins in
        null_means   broken (default) or fine: the verdict when the condition is NULL
        live_only    true: rows deleted at the source are not judged (default false)
        severity     error: the row is quarantined
        owner        who mends it
        version      raised by one with every change of meaning
        description  what is wrong with the row, as a sentence for its owner

    A changed rule decides old rows anew by `dbt build --full-refresh`; until then the test
    `every_row_was_judged_by_the_rules_in_force` is red and nothing is published.
#}
{% macro shop_rules() %}
    {{- return({
        'customers': [
            {
                'id': 'customer_email_malformed', 'column': 'email', 'version': 1,
                'owner': 'customer service',
                'expect': "email like '%_@_%._%' and email not like '%@%@%'"
                    " and email not like '% %' and email not like '%..%'",
                'description': 'The email address cannot exist: it needs one @, something before it'
                    ' and a domain with a dot behind it, and no space.',
            },
            {
                'id': 'customer_country_unknown', 'column': 'country_code', 'version': 1,
                'owner': 'customer service',
                'expect': "country_code in ('DE', 'FR', 'NL', 'AT', 'CH', 'IT', 'ES', 'SE', 'PL',"
                    " 'GB', 'US')",
                'description': 'The country is not one the shop delivers to.',
            },
            {
                'id': 'customer_segment_unknown', 'column': 'segment', 'version': 1,
                'owner': 'customer service',
                'expect': "segment in ('consumer', 'business')",
                'description': 'The segment is neither consumer nor business.',
            },
        ],
        'products': [
            {
                'id': 'product_price_not_positive', 'column': 'unit_price', 'version': 1,
                'owner': 'product management',
                'expect': 'unit_price > 0',
                'description': 'The list price is zero, negative or missing.',
            },
        ],
        'campaigns': [
            {
                'id': 'campaign_discount_rate_out_of_range', 'column': 'discount_rate',
                'version': 1, 'owner': 'marketing',
                'expect': 'discount_rate >= 0 and discount_rate <= 1',
                'description': 'The discount rate is not between 0 and 1.',
            },
            {
                'id': 'campaign_period_reversed', 'column': 'ends_on', 'version': 1,
                'owner': 'marketing',
                'expect': 'ends_on >= starts_on',
                'description': 'The campaign ends before it starts, or a date is missing.',
            },
            {
                'id': 'campaign_channel_unknown', 'column': 'channel', 'version': 1,
                'owner': 'marketing',
                'expect': "channel in ('email', 'search', 'social', 'store')",
                'description': 'The channel is not email, search, social or store.',
            },
        ],
        'transactions': [
            {
                'id': 'transaction_sold_at_implausible', 'column': 'sold_at', 'version': 1,
                'owner': 'sales',
                'expect': 'sold_at >= ' ~ timestamp_literal('2000-01-01 00:00:00')
                    ~ ' and sold_at < ' ~ timestamp_literal('2100-01-01 00:00:00'),
                'description': 'The time of sale is missing or not between 2000 and 2100; it would'
                    ' stretch the calendar.',
            },
            {
                'id': 'transaction_status_unknown', 'column': 'status', 'version': 1,
                'owner': 'sales',
                'expect': "status in ('completed', 'pending', 'refunded')",
                'description': 'The status is not completed, pending or refunded.',
            },
            {
                'id': 'transaction_payment_method_unknown', 'column': 'payment_method',
                'version': 1, 'owner': 'sales',
                'expect': "payment_method in ('card', 'transfer', 'cash', 'wallet')",
                'description': 'The payment method is not card, transfer, cash or wallet.',
            },
            {
                'id': 'transaction_total_mismatch', 'column': 'total_amount', 'version': 1,
                'owner': 'sales', 'scope': 'related', 'live_only': true,
                'expect': 'total_amount = live_items_amount',
                'description': 'The total differs from the sum of the items, deleted ones left out.'
                    ' Heals by itself when the other half arrives with a later commit.',
            },
            {
                'id': 'transaction_item_broken', 'column': 'transaction_id', 'version': 1,
                'owner': 'sales', 'scope': 'related', 'live_only': true,
                'expect': 'broken_live_items = 0',
                'description': 'An item breaks a rule of its own; a transaction is accepted whole or'
                    ' not at all, so that its total stays true in the marts.',
            },
            {
                'id': 'transaction_before_customer', 'column': 'sold_at', 'version': 1,
                'owner': 'sales', 'scope': 'related', 'live_only': true, 'null_means': 'fine',
                'expect': 'sold_at >= customer_created_at',
                'description': 'Sold before the customer existed. A customer that has not arrived'
                    ' yet is no reason to wait.',
            },
        ],
        'transaction_items': [
            {
                'id': 'item_quantity_not_positive', 'column': 'quantity', 'version': 1,
                'owner': 'sales',
                'expect': 'quantity > 0',
                'description': 'The quantity is zero, negative or missing.',
            },
            {
                'id': 'item_line_amount_mismatch', 'column': 'line_amount', 'version': 1,
                'owner': 'sales',
                'expect': 'line_amount = cast(cast(quantity as decimal(19, 0))'
                    ' * cast(unit_price as decimal(12, 2)) as decimal(38, 2)) - discount_amount',
                'description': 'The line amount is not quantity times unit price less discount.',
            },
            {
                'id': 'item_transaction_missing', 'column': 'transaction_id', 'version': 1,
                'owner': 'sales', 'scope': 'related', 'live_only': true,
                'expect': 'transaction_is_live',
                'description': 'The item has no transaction, or its transaction was deleted.',
            },
            {
                'id': 'item_transaction_quarantined', 'column': 'transaction_id', 'version': 1,
                'owner': 'sales', 'scope': 'related', 'live_only': true, 'null_means': 'fine',
                'expect': 'transaction_is_clean',
                'description': 'The transaction of the item is in quarantine: mend that one.',
            },
        ],
    }) -}}
{% endmacro %}
