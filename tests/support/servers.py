"""Fixtures: one embedded PostgreSQL per test session, one fresh database in it per test.

The ``conftest.py`` of a folder whose tests need them imports them.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from lakehouse.settings import Settings
from support.private_root import private_root

_numbers = count(1)


@pytest.fixture
def server_root() -> Iterator[Path]:
    """A project root for a server of the test's own."""
    with private_root() as folder:
        yield folder


@pytest.fixture(scope="session")
def pg_server() -> Iterator[EmbeddedPostgres]:
    """A server that holds no tables."""
    with private_root() as root, EmbeddedPostgres(Settings(root=root)) as server:
        yield server


@pytest.fixture
def pg_dsn(pg_server: EmbeddedPostgres) -> Iterator[str]:
    """The superuser's address of an empty database that lives as long as the test.

    Another role reaches the same database by ``pg_server.dsn(role, database)``.
    """
    name = sql.Identifier(f"test_{next(_numbers)}")
    admin = pg_server.dsn(SUPERUSER, "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
    yield pg_server.dsn(SUPERUSER, name.as_string().strip('"'))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(name))
