"""Row counts and columns of built tables, read after dbt has let go of its file.

Here belongs one short read-only connection. Here does not belong keeping one open: the next build,
perhaps a shell's, waits for it. Must not import Dagster.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.locks import FileLock
from lakehouse.publishing import NoVersionError, current_version
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb

_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.01
"""More eager than the builds that queue for the same lock, so usually ahead of them."""

Name = tuple[str, str]
"""Schema and table."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as it is.

    Attributes:
        rows: How many rows it holds; None for a view.
        columns: Name, type and comment of each column.
    """

    rows: int | None
    columns: tuple[tuple[str, str, str | None], ...]


def read_facts(
    settings: Settings, tables: Collection[Name], *, purpose: str
) -> dict[Name, TableFacts]:
    """Look at tables of the build that just ended.

    When somebody else builds already, what was published is looked at instead; private tables are
    then missing from the answer, as waiting could take as long as that build.

    Args:
        settings: The project.
        tables: Schema and name of each table.
        purpose: Shown to those who wait meanwhile.
    """
    lock = FileLock(settings.build_lock, purpose=purpose)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (taken := lock.try_acquire()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    try:
        path = settings.build_file if taken else _published(settings)
        return _read(path, tables) if path and path.exists() and tables else {}
    finally:
        lock.release()


def _published(settings: Settings) -> Path | None:
    try:
        return current_version(settings).path
    except NoVersionError:
        return None


def _read(path: Path, tables: Collection[Name]) -> dict[Name, TableFacts]:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        columns: dict[Name, list[tuple[str, str, str | None]]] = {}
        for schema, table, *column in connection.execute(
            "select schema_name, table_name, column_name, data_type, comment"
            " from duckdb_columns() where not internal order by column_index"
        ).fetchall():
            columns.setdefault((schema, table), []).append((column[0], column[1], column[2]))
        found = [name for name in tables if name in columns]
        rows = _count(connection, found)
        return {name: TableFacts(rows.get(name), tuple(columns[name])) for name in found}


def _count(connection: "duckdb.DuckDBPyConnection", tables: Collection[Name]) -> dict[Name, int]:
    stored = connection.execute(
        "select schema_name, table_name from duckdb_tables() where not internal"
    ).fetchall()
    counted = [name for name in stored if name in set(tables)]
    if not counted:
        return {}
    parts = (f'select {i}, count(*) from "{s}"."{t}"' for i, (s, t) in enumerate(counted))
    numbers = connection.execute(" union all ".join(parts)).fetchall()
    return {counted[i]: number for i, number in numbers}
