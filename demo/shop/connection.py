"""Connections to the shop whose failures are sentences.

Here belongs what every module of this package needs to talk to PostgreSQL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, errors

from lakehouse.errors import LakeError

SCHEMA = "shop"
# Parents before children.
TABLES = ("customers", "products", "campaigns", "transactions", "transaction_items")

_CONNECT_SECONDS = 10


class ShopError(LakeError):
    """The shop's database cannot be used as asked."""


@contextmanager
def shop_connection(dsn: str, *, purpose: str) -> Iterator[Connection[Any]]:
    """Open one connection and one transaction, committed at the end of the block.

    Args:
        dsn: Where to connect.
        purpose: Shown as application name in ``pg_stat_activity``.

    Raises:
        ShopError: The server does not answer, refuses, or holds no shop.
    """
    try:
        with psycopg.connect(
            dsn, application_name=f"lake {purpose}", connect_timeout=_CONNECT_SECONDS
        ) as connection:
            connection.execute("set timezone to 'UTC'")
            yield connection
    except psycopg.Error as error:
        raise _in_words(error) from error


def _in_words(error: psycopg.Error) -> ShopError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
        return ShopError(f"the shop's tables are missing: {reason}", "run `lake seed`")
    if isinstance(error, errors.InsufficientPrivilege):
        return ShopError(
            f"the role that LAKE_DEMO_DSN names lacks a right: {reason}",
            "connect as the database's owner, or grant that right",
        )
    if isinstance(error, errors.DiskFull):
        return ShopError(
            f"the database's disk is full: {reason}", "free space, then run this again"
        )
    if (
        isinstance(error, psycopg.OperationalError | psycopg.ProgrammingError)
        and not error.sqlstate
    ):
        return ShopError(
            f"the demo's database does not answer: {reason}",
            "check LAKE_DEMO_DSN and that the server runs, or unset it to use the embedded one",
        )
    return ShopError(f"the demo's database refused: {reason}", "run `lake doctor`")
