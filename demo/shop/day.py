"""What a simulated day starts from: the clock, the volume, who and what is there.

Here belongs reading the shop; what then happens stands in ``day_sales`` and ``day_changes``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection, sql

from demo.shop.connection import SCHEMA, ShopError
from demo.shop.load import DAY, SECOND, Bools, Floats, Ints, generator

_STREAM = 6
_DAYS_OF_HISTORY, _LEAST_SALES = 665, 10
_RECENT = 5_000
LATE_DAYS = 10

# Whole microseconds, so that nothing passes through a float.
_CLOCK = """
    select
        (extract(epoch from now()) * 1000000)::bigint,
        (select (extract(epoch from max(sold_at)) * 1000000)::bigint from shop.transactions),
        (select count(*) from shop.transactions),
        (select coalesce(max(transaction_id), 0) from shop.transactions),
        (select coalesce(max(customer_id), 0) from shop.customers),
        (select count(*) from shop.customers)
"""
_CUSTOMERS = """
    select
        customer_id,
        (segment = 'business')::integer,
        (extract(epoch from created_at) * 1000000)::bigint
    from shop.customers
    order by customer_id
"""
_PRODUCTS = """
    select product_id, (unit_price * 100)::bigint
    from shop.products
    where is_active and unit_price > 0
    order by product_id
"""
_CAMPAIGNS = """
    select campaign_id, (discount_rate * 10000)::bigint, starts_on - date '1970-01-01',
        ends_on - date '1970-01-01'
    from shop.campaigns
    order by campaign_id
"""
_RECENT_BUYERS = "select customer_id from shop.transactions order by transaction_id desc limit %s"
_RECENT_PRODUCTS = (
    "select product_id from shop.transaction_items order by transaction_item_id desc limit %s"
)


@dataclass(slots=True)
class Day:
    """The state from which a day is drawn; moments in microseconds since 1970.

    Attributes:
        since: The day goes on from here: the latest sale so far, or today's 00:00 UTC if that is
            later. So the date of a sale, which decides its campaign, does not hang on the hour.
        now: The start of the transaction, which stamps the new rows.
        sales: How many transactions the day has.
        customers: Columns id, whether business, arrival.
        products: Columns id, price in cents; only what can be sold.
        campaigns: Columns id, rate in ten-thousandths, first and last day since 1970.
    """

    connection: Connection[Any]
    random: np.random.Generator
    seed: int
    since: int
    now: int
    sales: int
    customers: Ints
    products: Ints
    campaigns: Ints

    @property
    def span(self) -> int:
        """Length of the day in microseconds, at least one."""
        return self.now - self.since

    @property
    def today(self) -> int:
        """Today's date in days since 1970."""
        return self.now // DAY

    def moments(self, count: int, since: int | None = None) -> Ints:
        """Moments of the day in order, after ``since`` if given."""
        start = self.since if since is None else since
        offsets = (self.random.random(count) * (self.now - start)).astype(np.int64)
        return np.sort(start + offsets)

    def arrived_before(self, moment: int) -> Bools:
        """Which customers were there at a moment."""
        return np.asarray(self.customers[:, 2] <= moment)

    def customer_weights(self) -> Floats:
        """Regulars count by their recent purchases, everybody else a little."""
        return self._weights(_RECENT_BUYERS, self.customers[:, 0], 0.15)

    def product_weights(self) -> Floats:
        """Best sellers count by their recent sales, everything else a little."""
        return self._weights(_RECENT_PRODUCTS, self.products[:, 0], 0.1)

    def _weights(self, query: str, ids: Ints, other: float) -> Floats:
        recent = _column(self.connection, query, (_RECENT,))
        at = np.searchsorted(ids, recent)
        known = at < len(ids)
        known[known] = ids[at[known]] == recent[known]
        weights = np.bincount(at[known], minlength=len(ids)).astype(np.float64)
        weights += other * max(weights.sum(), 1) / max(len(ids), 1)
        return weights


def read_day(connection: Connection[Any], seed: int) -> Day:
    """Read the state of the shop.

    Args:
        connection: Its transaction is used and left open.
        seed: Together with the state it decides the day.

    Raises:
        ShopError: The shop is empty.
    """
    row = connection.execute(_CLOCK).fetchone()
    assert row is not None  # noqa: S101  (an aggregate has one row)
    now, latest, sales, last_sale, last_customer, customers = row
    products = _rows(connection, _PRODUCTS, 2)
    if not sales and not customers and not len(products):
        raise ShopError("the shop is empty", "run `lake seed`")
    since = min(max(latest or 0, now - now % DAY), now - SECOND)
    return Day(
        connection=connection,
        random=generator(seed, _STREAM, sales, last_sale, last_customer, customers),
        seed=seed,
        since=since,
        now=now,
        sales=max(_LEAST_SALES, sales // _DAYS_OF_HISTORY),
        customers=_rows(connection, _CUSTOMERS, 3),
        products=products,
        campaigns=_rows(connection, _CAMPAIGNS, 4),
    )


def _rows(connection: Connection[Any], query: str, columns: int) -> Ints:
    found = connection.execute(query.encode()).fetchall()
    return np.array(found, dtype=np.int64).reshape(-1, columns)


def _column(connection: Connection[Any], query: str, values: tuple[Any, ...]) -> Ints:
    found = connection.execute(query.encode(), values).fetchall()
    return np.array([row[0] for row in found], dtype=np.int64)


def reserve_ids(connection: Connection[Any], table: str, key: str, count: int) -> Ints:
    """Take new keys that no row has or had, in order.

    Args:
        connection: Its transaction is used and left open.
        table: A table of the shop.
        key: Its identity column.
        count: How many.
    """
    names = {
        "sequence": sql.SQL("pg_get_serial_sequence({}, {})").format(
            sql.Literal(f"{SCHEMA}.{table}"), sql.Literal(key)
        ),
        "key": sql.Identifier(key),
        "table": sql.Identifier(SCHEMA, table),
    }
    # Somebody may have inserted keys of his own beyond the sequence.
    skip = "select setval({sequence}, greatest(nextval({sequence}), max({key}))) from {table}"
    connection.execute(sql.SQL(skip).format(**names))
    take = sql.SQL("select nextval({sequence}) from generate_series(1, %s)").format(**names)
    return np.array([row[0] for row in connection.execute(take, (count,))], dtype=np.int64)
