"""Creating and dropping the shop's schema; the SQL itself is ``schema.sql`` beside this file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from demo.shop.connection import SCHEMA, shop_connection

PASSWORD_VARIABLE = "LAKE_EXTRACTOR_PASSWORD"  # noqa: S105  (a name, not a password)

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
        ShopError: The server does not answer or the role lacks a right.
    """
    with shop_connection(dsn, purpose="create schema") as connection:
        apply_schema(connection)


def apply_schema(connection: Connection[Any]) -> None:
    """Do what ``create_schema`` does inside the caller's transaction."""
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
    """Drop the schema ``shop`` with all its rows; roles stay."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(SCHEMA)))
