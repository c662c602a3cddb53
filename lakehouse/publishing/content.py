"""The content of a version: which tables, how they are copied, and when two are the same.

Here belongs the SQL that reads the build file and fills a version. Here does not belong the order
of files and names on disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION = "v1.4.0"
"""What today's stable DuckDB clients can read; files of DuckDB 2.0's own version they cannot."""

CURRENT_BUILD = "lakehouse"
"""Database name of the build file: its stem, and that of the published file, so that a query with
a full name means the same in both."""

_COMMITS = "select batch_id from {0}.ops.commits where is_present"
"""A build is published only when all its models reflect all of them."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it must be in a version.

    Attributes:
        schema: Its schema.
        name: Its name.
        ddl: Its ``create table`` without the database, constraints included.
        comments: ``comment on`` statements for it and its columns.
    """

    schema: str
    name: str
    ddl: str
    comments: tuple[str, ...]

    @property
    def quoted(self) -> str:
        """Schema and name as SQL."""
        return f"{_identifier(self.schema)}.{_identifier(self.name)}"


def find_relations(
    connection: "duckdb.DuckDBPyConnection", database: str, tables: Sequence[tuple[str, str]]
) -> list[Relation]:
    """Look up those of the named tables that exist, in a fixed order.

    Args:
        connection: A connection that has the database attached.
        database: Its name.
        tables: Pairs of schema and name.
    """
    wanted = set(tables)
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, table, column, comment in connection.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns()"
        " where database_name = ? and comment is not null order by column_index",
        [database],
    ).fetchall():
        target = ".".join(_identifier(part) for part in (schema, table, column))
        columns.setdefault((schema, table), []).append(_comment("column", target, comment))
    found = []
    for schema, name, ddl, comment in connection.execute(
        "select schema_name, table_name, sql, comment from duckdb_tables()"
        " where database_name = ? and not temporary order by schema_name, table_name",
        [database],
    ).fetchall():
        if (schema, name) in wanted:
            comments = columns.get((schema, name), [])
            if comment:
                target = f"{_identifier(schema)}.{_identifier(name)}"
                comments = [_comment("table", target, comment), *comments]
            found.append(Relation(schema, name, ddl, tuple(comments)))
    return found


def copy_relations(
    connection: "duckdb.DuckDBPyConnection",
    target: Path,
    *,
    schemas: Sequence[str],
    relations: Sequence[Relation],
    version_id: str,
    invocation_id: str,
) -> None:
    """Write the tables into a fresh, compact file that older clients can read, too.

    Args:
        connection: The build file.
        target: The file to make; it must not exist.
        schemas: Schemas to make even when empty.
        relations: The tables.
        version_id: Recorded in ``lake.version``.
        invocation_id: Recorded in ``lake.version``.
    """
    escaped = str(target).replace("'", "''")
    connection.execute(f"attach '{escaped}' as publication (storage_version '{STORAGE_VERSION}')")
    try:
        connection.execute("use publication")
        connection.begin()
        for schema in sorted({*schemas, *(r.schema for r in relations), "lake"}):
            connection.execute(f"create schema if not exists {_identifier(schema)}")
        for relation in relations:
            connection.execute(relation.ddl)
            connection.execute(
                f"insert into {relation.quoted} from {CURRENT_BUILD}.{relation.quoted}"
            )
            for comment in relation.comments:
                connection.execute(comment)
        _describe(connection, relations, version_id, invocation_id)
        connection.commit()
    finally:
        connection.execute(f"use {CURRENT_BUILD}")
        connection.execute("detach publication")


def consumed_commits(connection: "duckdb.DuckDBPyConnection", database: str) -> list[str]:
    """The batch ids a build or version was made from, sorted."""
    source = (
        _COMMITS.format(_identifier(database))
        if database == CURRENT_BUILD
        else f"select batch_id from {_identifier(database)}.lake.commits"
    )
    return sorted(row[0] for row in connection.execute(source).fetchall())


def same_content(connection: "duckdb.DuckDBPyConnection", relations: Sequence[Relation]) -> bool:
    """Whether the attached database ``newest`` holds the same tables with the same rows.

    Args:
        connection: The build file with the newest version attached as ``newest``.
        relations: The build's tables.
    """
    names = connection.execute(
        "select schema_name, table_name from duckdb_tables()"
        " where database_name = 'newest' and schema_name <> 'lake'"
    ).fetchall()
    if find_relations(connection, "newest", names) != list(relations):
        return False
    return all(
        _fingerprint(connection, CURRENT_BUILD, r) == _fingerprint(connection, "newest", r)
        for r in relations
    )


def _fingerprint(
    connection: "duckdb.DuckDBPyConnection", database: str, relation: Relation
) -> tuple[object, ...] | None:
    """Count and two sums over row hashes: independent of the order of rows.

    Both sides are always computed by the same engine in the same run, so nothing depends on
    DuckDB's hash being stable between releases.
    """
    return connection.execute(
        "select count(*), bit_xor(hash(t)), sum((hash(t) >> 1)::bigint)"
        f" from {_identifier(database)}.{relation.quoted} as t"
    ).fetchone()


def _describe(
    connection: "duckdb.DuckDBPyConnection",
    relations: Sequence[Relation],
    version_id: str,
    invocation_id: str,
) -> None:
    connection.execute(
        "create table lake.version as select $1::varchar as version_id,"
        " get_current_timestamp() as published_at, $2::varchar as invocation_id",
        [version_id, invocation_id],
    )
    connection.execute(
        "create table lake.tables (schema_name varchar, table_name varchar, row_count bigint)"
    )
    for relation in relations:
        connection.execute(
            f"insert into lake.tables select ?, ?, count(*) from {relation.quoted}",
            [relation.schema, relation.name],
        )
    connection.execute(
        "create table lake.commits as select source_name, table_name, batch_id, row_count,"
        " watermark_before, watermark_after, extracted_at"
        f" from {CURRENT_BUILD}.ops.commits where batch_id in ({_COMMITS.format(CURRENT_BUILD)})"
        " order by source_name, table_name, batch_id"
    )


def _comment(kind: str, target: str, text: str) -> str:
    escaped = text.replace("'", "''")
    return f"comment on {kind} {target} is '{escaped}'"


def _identifier(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
