"""Questions the tests ask the shop, independent of the code that fills it."""

from typing import Any

import psycopg

from demo.shop.connection import TABLES

KEYS = {
    "customers": "customer_id",
    "products": "product_id",
    "campaigns": "campaign_id",
    "transactions": "transaction_id",
    "transaction_items": "transaction_item_id",
}

# The warehouse's point of view: keys of the rows that break each rule.
RULE_ORACLES = {
    "customer_email_malformed": r"""
        select customer_id from shop.customers
        where email !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$'
    """,
    "customer_country_unknown": """
        select customer_id from shop.customers
        where country_code not in
            ('DE', 'FR', 'NL', 'AT', 'CH', 'IT', 'ES', 'SE', 'PL', 'GB', 'US')
    """,
    "product_price_not_positive": "select product_id from shop.products where unit_price <= 0",
    "transaction_total_mismatch": """
        select transaction_id from shop.transactions
        where total_amount <> (
            select coalesce(sum(line_amount), 0) from shop.transaction_items
            where transaction_items.transaction_id = transactions.transaction_id
        )
    """,
    "transaction_before_customer": """
        select transaction_id from shop.transactions
        inner join shop.customers using (customer_id)
        where sold_at < customers.created_at
    """,
    "item_quantity_not_positive": """
        select transaction_item_id from shop.transaction_items where quantity <= 0
    """,
}


def rows(dsn: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set timezone to 'UTC'")
        cursor = connection.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def one(dsn: str, query: str, *values: Any) -> Any:
    return rows(dsn, query, *values)[0][0]


def checksums(dsn: str) -> dict[str, str]:
    """One checksum per table over all its content, in the order of the key."""
    return {
        table: one(
            dsn,
            f"select md5(coalesce(string_agg(t::text, ';' order by {KEYS[table]}), ''))"
            f" from shop.{table} as t",
        )
        for table in TABLES
    }


def counts(dsn: str) -> dict[str, int]:
    return {table: one(dsn, f"select count(*) from shop.{table}") for table in TABLES}


def broken(dsn: str) -> dict[str, tuple[int, ...]]:
    return {
        rule: tuple(sorted(row[0] for row in rows(dsn, query)))
        for rule, query in RULE_ORACLES.items()
    }
