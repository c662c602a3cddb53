"""Making a version out of the one before it, when little has changed since.

Copying every row costs what the warehouse holds; copying the last version's file and replacing what
has changed in it costs a tenth of that and what changed. Here belongs knowing what changed: which
tables, and which keys of those that the incremental strategy ``by_commit`` has written. Here does
not belong the SQL that writes rows (``content``), nor the order of files on disk (``publish``).
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.publishing.relations import Name, Relation, identifier

if TYPE_CHECKING:
    import duckdb

_TABLE = """
create schema if not exists ops;
create table if not exists ops.published (
    version_id varchar not null,
    run bigint not null, -- it holds what the build held at the end of this run
    digest varchar not null, -- of the whole file
    replaced_rows bigint not null -- since a version was copied row by row
);
"""
_MOST_REPLACED = 0.5
"""Beyond this share of all rows a fresh and compact file is written."""


@dataclass(frozen=True, slots=True)
class Base:
    """The version that the build file itself has published last.

    Attributes:
        path: Its file.
        run: It holds what the build held at the end of this run.
        digest: Of the whole file when it was made.
        replaced_rows: Rows replaced since a version was copied row by row.
    """

    path: Path
    run: int
    digest: str
    replaced_rows: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a table of the new version must get that the base does not have.

    Attributes:
        relation: The table or view of the build.
        keys: A query of the keys whose rows have changed; None means that all rows may have.
        rows: How many rows or keys.
    """

    relation: Relation
    keys: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Difference:
    """All that makes the base the new version.

    Attributes:
        dropped: Tables of the base that are not in the new version or replaced there.
        changes: What is written.
        replaced_rows: Rows replaced since a version was copied row by row, with these.
        row_counts: Schema and name to rows of every table and view of the build.
    """

    dropped: tuple[Relation, ...]
    changes: tuple[Change, ...]
    replaced_rows: int
    row_counts: Mapping[Name, int]


def find_base(connection: "duckdb.DuckDBPyConnection", newest: Path | None) -> Base | None:
    """The newest version, if this build file has made it; else nobody knows what has changed since.

    Args:
        connection: The build file.
        newest: The newest version's file; None when there is none.
    """
    connection.execute(_TABLE)
    row = connection.execute(
        "select version_id, run, digest, replaced_rows from ops.published"
    ).fetchone()
    if newest is None or row is None or row[0] != newest.stem:
        return None
    return Base(newest, *row[1:])


def find_difference(
    connection: "duckdb.DuckDBPyConnection",
    base: Base,
    relations: Sequence[Relation],
    in_base: Sequence[Relation],
) -> Difference | None:
    """What has changed since the base.

    Args:
        connection: The build file.
        base: The version before.
        relations: What the new version has.
        in_base: The tables of the base.

    Returns:
        None when so much has changed that copying all rows is better.
    """
    if any(relation.references for relation in (*relations, *in_base)):
        return None  # a table that others point at cannot be replaced beneath them
    changed_keys, in_base_as_it_is = _changed_keys(connection, base.run), set(in_base)
    row_counts = {(r.schema, r.name): _count(connection, r.quoted) for r in relations}
    changes = []
    for relation in relations:
        keys = changed_keys(relation) if relation in in_base_as_it_is else None
        rows = row_counts[relation.schema, relation.name]
        changes.append(Change(relation, keys, _count(connection, f"({keys})") if keys else rows))
    replaced_rows = base.replaced_rows + sum(change.rows for change in changes)
    if replaced_rows > _MOST_REPLACED * sum(row_counts.values()):
        return None
    kept = {change.relation for change in changes if change.keys}
    return Difference(
        tuple(relation for relation in in_base if relation not in kept),
        tuple(change for change in changes if change.rows or not change.keys),
        replaced_rows,
        row_counts,
    )


def copy_if_intact(base: Base, target: Path) -> bool:
    """Copy the base's file, unless a byte of it is not what it was when it was made.

    DuckDB proves a block only when it reads it, so damage to rows that did not change would go
    from version to version.

    Returns:
        Whether ``target`` now is a copy of it.
    """
    with ThreadPoolExecutor(1, "copy") as pool:
        copying = pool.submit(shutil.copyfile, base.path, target)
        is_intact = _digest(base.path) == base.digest
        copying.result()
    return is_intact


def remember(connection: "duckdb.DuckDBPyConnection", version: Path, replaced_rows: int) -> None:
    """Note that the build file, as it is after its last run, has become this version.

    Args:
        connection: The build file.
        version: The version's finished file.
        replaced_rows: As in ``Difference``; 0 for a version that was copied row by row.
    """
    digest = _digest(version)
    connection.execute(_TABLE)
    connection.begin()
    connection.execute("delete from ops.published")
    connection.execute(
        "insert into ops.published select ?, coalesce(max(run), 0), ?, ? from ops.runs",
        [version.stem, digest, replaced_rows],
    )
    for table in _change_tables(connection):
        connection.execute(f"delete from ops.{identifier(table)}")
    connection.commit()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changed_keys(
    connection: "duckdb.DuckDBPyConnection", run: int
) -> Callable[[Relation], str | None]:
    """A query of the keys that a table's rows have changed for since a run; None if it is unknown.

    Known it is for tables that nothing but ``by_commit`` has written since: those that
    ``ops.models`` says were not replaced. Views have no such note, they change with what they read.
    """
    kept = set(
        connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            " inner join ops.models on models.model = table_name"
            " where database_name = current_database() and replaced_in <= ?",
            [run],
        ).fetchall()
    )
    tables = _change_tables(connection)

    def keys(relation: Relation) -> str | None:
        if (relation.schema, relation.name) not in kept:
            return None
        name = f"changes of {relation.schema}.{relation.name}"
        if name not in tables:
            return "select null where false"  # nothing has written it
        return f"select distinct * exclude (_run) from ops.{identifier(name)} where _run > {run}"

    return keys


def _change_tables(connection: "duckdb.DuckDBPyConnection") -> set[str]:
    """The tables in which ``macros/incremental`` notes the keys it replaces."""
    rows = connection.execute(
        "select table_name from duckdb_tables() where database_name = current_database()"
        " and schema_name = 'ops' and starts_with(table_name, 'changes of ')"
    ).fetchall()
    return {row[0] for row in rows}


def _count(connection: "duckdb.DuckDBPyConnection", source: str) -> int:
    row = connection.execute(f"select count(*) from {source}").fetchone()
    return int(row[0]) if row else 0
