"""Creating and dropping the shop's schema; the SQL itself is ``schema.sql`` beside this file."""

import os
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from ingest.shop.connection import SCHEMA, shop_connection

PASSWORD_VARIABLE = "LAKE_EXTRACTOR_PASSWORD"  # noqa: S105  (a name, not a password)

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


def drop_schema(connection: Connection[Any]) -> None:
    """Drop the schema ``shop`` with all its rows; roles stay."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(SCHEMA)))
