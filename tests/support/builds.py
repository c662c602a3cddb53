"""Builds without dbt: tables in a build file, published by the real publisher."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from lakehouse.dbt import run_notes
from lakehouse.publishing import open_published
from lakehouse.publishing.publish import Outcome, publish
from lakehouse.settings import Settings

TABLES = [("marts", "numbers"), ("marts", "twins")]


@contextmanager
def build_file(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the build file as dbt's plugin leaves it."""
    settings.build_dir.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.build_file)) as connection:
        run_notes.ensure_tables(connection)
        yield connection


def build(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """Build two tables that only fit each other when they come from one build."""
    connection.execute("create schema if not exists marts")
    for _, table in TABLES:
        connection.execute(
            f"create or replace table marts.{table} as"
            f" select {number} as build, range as id from range({1000 + number})"
        )


def publish_numbers(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Outcome:
    """Publish what ``build`` built."""
    return publish(
        connection, settings, schemas=["marts"], tables=TABLES, invocation_id=str(time.time())
    )


def publish_build(settings: Settings, number: int) -> Outcome:
    """Build and publish."""
    with build_file(settings) as connection:
        build(connection, number)
        return publish_numbers(connection, settings)


def published_build(settings: Settings) -> int:
    """The number of the build that the kernel shows."""
    with open_published(settings) as connection:
        return _number(connection)


def seen_build(settings: Settings) -> int:
    """The number of the build that a reader gets who knows nothing but the published name."""
    with duckdb.connect(str(settings.published_file), read_only=True) as connection:
        return _number(connection)


def an_hour_later(settings: Settings, *, but_for: int = 0) -> None:
    """Let an hour pass for the versions on disk, but for so many of the newest."""
    for path in sorted(settings.versions_dir.glob("*.duckdb"))[: -but_for or None]:
        os.utime(path, (time.time() - 3600, time.time() - 3600))


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every hard link fail, as on a file system that has none."""

    def refuses(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuses)


def leftovers(settings: Settings) -> list[Path]:
    """Unfinished files that somebody left in the warehouse."""
    return [p for p in settings.warehouse_dir.rglob("*") if ".tmp" in p.name]


def _number(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("select max(build) from marts.numbers").fetchone()
    assert row is not None
    return int(row[0])
