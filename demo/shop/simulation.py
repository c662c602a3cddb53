"""Letting a business day pass on what is there."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from demo.shop.connection import ShopError, shop_connection
from demo.shop.day import read_day
from demo.shop.day_changes import change_rows
from demo.shop.day_sales import add_rows
from demo.shop.schema import refuse_foreign
from lakehouse.progress import progress as show_progress

DEFAULT_SEED = 42
# Any number that no other program takes: "lake".
_LOCK = 0x6C616B65
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DayReport:
    """What a day changed.

    Attributes:
        since: The day's sales lie after this moment: the latest sale before, or 00:00 UTC.
        now: And not after this one, the start of the day's transaction.
        counts: Rows per kind of event.
        tables: Rows inserted, updated and deleted per table.
        seconds: Duration.
    """

    since: datetime
    now: datetime
    counts: dict[str, int]
    tables: dict[str, dict[str, int]]
    seconds: float


def simulate_day(dsn: str, *, seed: int = DEFAULT_SEED, progress: bool = False) -> DayReport:
    """Let a business day pass, all in one transaction, with rows stamped by the real clock.

    New customers and today's sales since the latest one, sales of the ten days before that arrive
    only now, moves, new prices, corrections, refunds and a few deletes. The seed and the state of
    the shop decide everything but the moments, so the next call with the same seed gives another
    day.

    Args:
        dsn: The shop, as a role that may write in it.
        seed: Not negative.
        progress: Show progress on standard error.

    Raises:
        ShopError: The server does not answer, or the shop is missing, empty or not the demo's.
    """
    started = time.monotonic()
    if seed < 0:
        raise ShopError(f"seed {seed} is negative", "use 0 or any whole number above it")
    with shop_connection(dsn, purpose="simulate-day") as connection:
        # Held until the connection closes. The day's own transaction begins only then, so that
        # its start, which stamps the new rows, lies after everything another day has written.
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        connection.commit()
        refuse_foreign(connection)
        day = read_day(connection, seed)
        bar = show_progress("a business day") if progress else nullcontext()
        with bar as advance:
            counts = change_rows(day)
            counts |= add_rows(day, advance)
    return DayReport(
        since=_EPOCH + timedelta(microseconds=day.since),
        now=_EPOCH + timedelta(microseconds=day.now),
        counts=counts,
        tables=_per_table(counts),
        seconds=time.monotonic() - started,
    )


def _per_table(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    # Inserted, updated, deleted.
    kinds: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
        "customers": (("customers_added",), ("addresses_changed",), ("customers_deleted",)),
        "products": ((), ("prices_changed",), ()),
        "campaigns": (("campaigns_added",), (), ()),
        "transactions": (
            ("transactions_added", "transactions_added_late"),
            ("quantities_corrected", "pending_completed", "transactions_refunded"),
            ("transactions_voided",),
        ),
        "transaction_items": (("items_added",), ("quantities_corrected",), ("items_voided",)),
    }
    return {
        table: {
            change: sum(counts[kind] for kind in parts)
            for change, parts in zip(("inserted", "updated", "deleted"), changes, strict=True)
        }
        for table, changes in kinds.items()
    }
