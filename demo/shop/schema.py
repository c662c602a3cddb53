"""Creating and dropping the shop's schema; the SQL itself is ``schema.sql`` beside this file.

The schema carries a mark. Here belongs refusing to touch a schema ``shop`` without it: that is
somebody's application.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from demo.shop.connection import SCHEMA, ShopError, shop_connection

PASSWORD_VARIABLE = "LAKE_EXTRACTOR_PASSWORD"  # noqa: S105  (a name, not a password)

MARK = "made by lake seed"
"""The comment on a schema that the demo made."""

_FOREIGN_KEYS = """
    select relname, conname, pg_get_constraintdef(pg_constraint.oid)
    from pg_constraint
    inner join pg_class on pg_class.oid = conrelid
    where contype = 'f' and relnamespace = to_regnamespace(%(schema)s)
    order by relname, conname
"""
_INDEXES = """
    select relname, pg_get_indexdef(indexrelid)
    from pg_index
    inner join pg_class on pg_class.oid = indexrelid
    where
        relnamespace = to_regnamespace(%(schema)s)
        and not exists (select from pg_constraint where conindid = indexrelid)
    order by relname
"""
_SCHEMA_SQL = Path(__file__).with_name("schema.sql")


def create_schema(dsn: str) -> None:
    """Create the schema ``shop``, its tables, triggers and roles; harmless when they exist.

    The environment's ``LAKE_EXTRACTOR_PASSWORD``, when set, becomes the password of the role
    ``lake_extractor``. A server that asks nobody for a password, as the embedded one, needs none.

    Args:
        dsn: A database, as a role that may create schemas and roles in it.

    Raises:
        ShopError: The server does not answer, the role lacks a right, or there is a schema ``shop``
            that the demo did not make.
    """
    with shop_connection(dsn, purpose="create schema") as connection:
        apply_schema(connection)


def has_shop(dsn: str) -> bool:
    """Whether there is a schema ``shop``, whoever made it.

    It comes with its rows in one transaction, so where it is, it is complete.
    """
    with shop_connection(dsn, purpose="look") as connection:
        found = connection.execute("select to_regnamespace(%s) is not null", (SCHEMA,)).fetchone()
    return bool(found and found[0])


def is_filled(dsn: str) -> bool:
    """Whether the demo's shop has customers.

    Raises:
        ShopError: The schema ``shop`` is not the demo's.
    """
    with shop_connection(dsn, purpose="look") as connection:
        refuse_foreign(connection)
        found = connection.execute("select to_regclass('shop.customers') is not null").fetchone()
        if found is None or not found[0]:
            return False
        filled = connection.execute("select exists(select from shop.customers)").fetchone()
    return bool(filled and filled[0])


def refuse_foreign(connection: Connection[Any]) -> None:
    """Stop before a schema ``shop`` that does not carry the demo's mark.

    Raises:
        ShopError: There is one.
    """
    found = connection.execute(
        "select current_database(), obj_description(oid, 'pg_namespace') from pg_namespace"
        " where nspname = %s",
        (SCHEMA,),
    ).fetchone()
    if found and found[1] != MARK:
        raise ShopError(
            f"the schema {SCHEMA} of database {found[0]} was not made by `lake seed`, so nothing"
            " in it is changed",
            "name another database in LAKE_DEMO_DSN; if it is the demo's all the same, run"
            f" `comment on schema {SCHEMA} is '{MARK}'` there",
        )


def apply_schema(connection: Connection[Any]) -> None:
    """Do what ``create_schema`` does inside the caller's transaction."""
    refuse_foreign(connection)
    connection.execute(_SCHEMA_SQL.read_bytes())
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        statement = sql.SQL("alter role lake_extractor password {}")
        connection.execute(statement.format(sql.Literal(password)))


@contextmanager
def bare_tables(connection: Connection[Any]) -> Iterator[None]:
    """Take foreign keys and indexes off the shop's tables and put them back after the block.

    Checking all rows at once takes half the time of checking each as it comes. Primary keys and
    unique constraints stay.

    Args:
        connection: Its transaction is used and left open; without a commit nothing has changed.
    """
    keys = connection.execute(_FOREIGN_KEYS, {"schema": SCHEMA}).fetchall()
    indexes = connection.execute(_INDEXES, {"schema": SCHEMA}).fetchall()
    for table, name, _ in keys:
        statement = sql.SQL("alter table {}.{} drop constraint {}")
        names = (sql.Identifier(SCHEMA), sql.Identifier(table), sql.Identifier(name))
        connection.execute(statement.format(*names))
    for name, _ in indexes:
        connection.execute(sql.SQL("drop index {}").format(sql.Identifier(SCHEMA, name)))
    yield
    for _, definition in indexes:
        connection.execute(definition.encode())
    for table, name, definition in keys:
        statement = sql.SQL("alter table {}.{} add constraint {} ")
        names = (sql.Identifier(SCHEMA), sql.Identifier(table), sql.Identifier(name))
        connection.execute(statement.format(*names).as_bytes(connection) + definition.encode())


def drop_schema(connection: Connection[Any]) -> None:
    """Drop the schema ``shop`` with all its rows; roles stay.

    Raises:
        ShopError: The demo did not make it.
    """
    refuse_foreign(connection)
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(SCHEMA)))
