"""Filling the shop with two years of business: the same seed and end give the same bytes."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from psycopg import Connection, sql

from demo.shop.catalog import make_campaigns, make_products
from demo.shop.connection import SCHEMA, TABLES, ShopError, shop_connection
from demo.shop.dirt import GroundTruth, add_dirt
from demo.shop.items import Items
from demo.shop.load import DAY, copy_rows, restart_identities, timestamps
from demo.shop.people import make_customers
from demo.shop.sales import Sales, make_sales
from demo.shop.schema import apply_schema, bare_tables, drop_schema
from lakehouse.progress import Advance
from lakehouse.progress import progress as show_progress

HISTORY_DAYS = 730
DEFAULT_SEED = 42
DEFAULT_DIRT = 0.002
KEYS = {table: f"{table.removesuffix('s')}_id" for table in TABLES}

_CUSTOMERS, _PRODUCTS, _CAMPAIGNS, _TRANSACTIONS = 5_000, 500, 24, 40_000
_MAX_SCALE, _MAX_DIRT = 250.0, 0.2
_EPOCH = date(1970, 1, 1)
_EARLIEST = date(1980, 1, 1)


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What a seeding wrote.

    Attributes:
        until: The history ends at 00:00 UTC of this day.
        rows: Rows per table.
        dirt: Ground truth: rows that break a business rule, per table and rule.
        dirty_keys: Ground truth: the primary keys of those rows, per rule.
        seconds: Duration.
    """

    seed: int
    scale: float
    until: date
    rows: dict[str, int]
    dirt: dict[str, dict[str, int]]
    dirty_keys: dict[str, tuple[int, ...]]
    seconds: float


def seed(
    dsn: str,
    *,
    seed: int = DEFAULT_SEED,
    scale: float = 1.0,
    until: date | None = None,
    dirt: float = DEFAULT_DIRT,
    reset: bool = False,
    progress: bool = False,
) -> SeedReport:
    """Create the shop's schema and fill it, all in one transaction.

    Every date is counted back from ``until`` and no draw looks at the calendar: two seedings with
    the same seed but another ``until`` differ in their dates only.

    Args:
        dsn: A database, as a role that may create schemas and roles in it.
        seed: Decides everything but the dates; not negative.
        scale: 1 is 5,000 customers, 500 products, 24 campaigns, 40,000 transactions with about
            100,000 items.
        until: The two years of history end at 00:00 UTC of this day; today if None.
        dirt: Share of the rows that break each business rule of ``demo.shop.dirt``.
        reset: Drop the demo's schema ``shop`` with all its rows first. What was extracted from it
            stays in raw and keeps its watermark, behind which the new rows lie: set that raw source
            aside as well.
        progress: Show progress on standard error.

    Raises:
        ShopError: The shop already holds rows or is not the demo's, an argument is out of range, or
            the server does not answer or refuses.
    """
    started = time.monotonic()
    last_day = _check(seed, scale, until, dirt)
    with shop_connection(dsn, purpose="seed") as connection:
        if reset:
            drop_schema(connection)
        apply_schema(connection)
        _refuse_if_filled(connection)
        tables, truth = _make(seed, scale, dirt, (last_day - _EPOCH).days * DAY)
        rows = {name: table.num_rows for name, table in tables.items()}
        with bare_tables(connection), _progress(progress, sum(rows.values())) as bar:
            for name, table in tables.items():
                copy_rows(connection, name, table, bar)
        restart_identities(connection, KEYS)
        for name in TABLES:
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(SCHEMA, name)))
    return SeedReport(
        seed=seed,
        scale=scale,
        until=last_day,
        rows=rows,
        dirt=truth.counts(),
        dirty_keys=truth.keys,
        seconds=time.monotonic() - started,
    )


def _check(seed: int, scale: float, until: date | None, dirt: float) -> date:
    today = datetime.now(UTC).date()
    if seed < 0:
        raise ShopError(f"seed {seed} is negative", "use 0 or any whole number above it")
    if not 0 < scale <= _MAX_SCALE:
        raise ShopError(f"scale {scale:g} is not above 0 and at most {_MAX_SCALE:g}", "try 1")
    if not 0 <= dirt <= _MAX_DIRT:
        raise ShopError(f"dirt {dirt:g} is not between 0 and {_MAX_DIRT:g}", "try 0.002")
    if until is not None and not _EARLIEST <= until <= today:
        raise ShopError(
            f"a history until {until} would not end between {_EARLIEST} and today, {today} UTC",
            "name a day in between",
        )
    return until or today


def _refuse_if_filled(connection: Connection[Any]) -> None:
    for name in TABLES:
        table = sql.Identifier(SCHEMA, name)
        found = connection.execute(sql.SQL("select exists (select from {})").format(table))
        if (row := found.fetchone()) and row[0]:
            raise ShopError(
                f"the shop is already seeded: its table {name} holds rows",
                "run `lake simulate-day` for another business day, or `lake seed --reset` to"
                " start over",
            )


def _make(seed: int, scale: float, dirt: float, until: int) -> tuple[dict[str, Any], GroundTruth]:
    """All tables as Arrow tables; ``until`` in microseconds since 1970."""

    def scaled(count: int, floor: int) -> int:
        return max(floor, round(count * scale))

    start = until - HISTORY_DAYS * DAY
    customers = make_customers(scaled(_CUSTOMERS, 10), HISTORY_DAYS, seed)
    products = make_products(scaled(_PRODUCTS, 5), HISTORY_DAYS, seed)
    campaigns = make_campaigns(scaled(_CAMPAIGNS, 2), HISTORY_DAYS, seed)
    count = scaled(_TRANSACTIONS, 50)
    sales, items = make_sales(count, HISTORY_DAYS, customers, products, campaigns, seed)
    truth = add_dirt(dirt, HISTORY_DAYS, customers, products, sales, items, seed)
    tables = {
        "customers": customers.to_arrow(until),
        "products": products.to_arrow(until),
        "campaigns": campaigns.to_arrow(until, HISTORY_DAYS),
        "transactions": sales.to_arrow(start),
        "transaction_items": _stamped(items, sales, len(products.price), start),
    }
    return tables, truth


def _stamped(items: Items, sales: Sales, products: int, start: int) -> Any:
    """The items with the stamps of their transactions."""
    ids = [np.arange(1, count + 1) for count in (len(items.sale), len(sales.sold), products)]
    created = timestamps((start + sales.sold + sales.entered)[items.sale])
    table = items.to_arrow(*ids)
    return table.append_column("created_at", created).append_column("updated_at", created)


def _progress(wanted: bool, total: int) -> AbstractContextManager[Advance | None]:
    return show_progress("seeding the shop", total) if wanted else nullcontext()
