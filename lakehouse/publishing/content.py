"""The content of a version: how it is copied from the build file, and when two are the same.

Here belongs the SQL that fills and compares versions. Here does not belong how one table is
described (``relations``), nor the order of files and names on disk (``publish``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.publishing.relations import Relation, blaming, find_relations, identifier, literal
from lakehouse.publishing.reuse import Difference

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION = "v1.4.0"
"""What today's stable DuckDB clients can read; files of DuckDB 2.0's own version they cannot."""

CURRENT_BUILD = "lakehouse"
"""Database name of the build file: its stem, and that of the published file, so that a query with
a full name means the same in both."""

_COMMITS = "select batch_id from {0}.ops.commits where is_present"
"""A build is published only when all its models reflect all of them."""


def copy_relations(
    connection: "duckdb.DuckDBPyConnection",
    target: Path,
    *,
    schemas: Sequence[str],
    relations: Sequence[Relation],
    version_id: str,
    invocation_id: str,
) -> None:
    """Write tables and views, as tables, into a fresh, compact file that older clients can read.

    Args:
        connection: The build file.
        target: The file to make; it must not exist.
        schemas: Schemas to make even when empty.
        relations: What to copy.
        version_id: Recorded in ``lake.version``.
        invocation_id: Recorded in ``lake.version``.

    Raises:
        LakeError: A table or view cannot be copied; it is named.
        duckdb.Error: The file cannot be written.
    """
    with _publication(connection, target, f"(storage_version '{STORAGE_VERSION}')"):
        _fill(connection, schemas, relations)
        _describe(connection, relations, version_id, invocation_id)


def apply_difference(
    connection: "duckdb.DuckDBPyConnection",
    target: Path,
    *,
    schemas: Sequence[str],
    relations: Sequence[Relation],
    difference: Difference,
    version_id: str,
    invocation_id: str,
) -> bool:
    """Turn a copy of the version before into the new one.

    Args:
        connection: The build file.
        target: The copy, writable.
        schemas: Schemas to make even when empty.
        relations: All that the new version has.
        difference: What the copy lacks.
        version_id: Recorded in ``lake.version``.
        invocation_id: Recorded in ``lake.version``.

    Returns:
        Whether each table now has as many rows as in the build; else the copy is of no use.

    Raises:
        LakeError: A table or view cannot be copied; it is named.
        duckdb.Error: The file cannot be read or written.
    """
    with _publication(connection, target):
        connection.execute("drop schema publication.lake cascade")
        for relation in difference.dropped:
            connection.execute(f"drop table publication.{relation.quoted}")
        whole = [change.relation for change in difference.changes if change.keys is None]
        _fill(connection, schemas, whole)
        connection.execute(f"use {CURRENT_BUILD}")
        for change in difference.changes:
            if change.keys is not None:
                with blaming(change.relation.schema, change.relation.name):
                    _replace_rows(connection, change.relation, change.keys)
        connection.execute("use publication")
        _describe(connection, relations, version_id, invocation_id)
        counts = connection.execute(
            "select schema_name, table_name, row_count from lake.tables"
        ).fetchall()
    return {(schema, name): count for schema, name, count in counts} == difference.row_counts


@contextmanager
def _publication(
    connection: "duckdb.DuckDBPyConnection", target: Path, options: str = ""
) -> Iterator[None]:
    """Attach a file as ``publication`` for one transaction, and leave all of it in that file."""
    connection.execute(f"attach {literal(target)} as publication {options}")
    try:
        connection.begin()
        try:
            yield
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
        connection.execute("checkpoint publication")
    finally:
        connection.execute(f"use {CURRENT_BUILD}")
        connection.execute("detach publication")


def _fill(
    connection: "duckdb.DuckDBPyConnection", schemas: Sequence[str], relations: Sequence[Relation]
) -> None:
    connection.execute("use publication")
    for schema in sorted({*schemas, *(r.schema for r in relations), "lake"}):
        connection.execute(f"create schema if not exists {identifier(schema)}")
    for relation in relations:
        with blaming(relation.schema, relation.name):
            for statement in (relation.ddl, *relation.comments):
                connection.execute(statement)
    # A view may name what it reads without its database.
    connection.execute(f"use {CURRENT_BUILD}")
    for relation in relations:
        with blaming(relation.schema, relation.name):
            connection.execute(
                f"insert into publication.{relation.quoted} from {CURRENT_BUILD}.{relation.quoted}"
            )
    connection.execute("use publication")


def _replace_rows(connection: "duckdb.DuckDBPyConnection", relation: Relation, keys: str) -> None:
    names = [column[0] for column in connection.execute(f"describe {keys}").fetchall()]
    is_changed = f"({', '.join(map(identifier, names))}) in ({keys})"
    connection.execute(f"delete from publication.{relation.quoted} where {is_changed}")
    connection.execute(
        f"insert into publication.{relation.quoted}"
        f" from {CURRENT_BUILD}.{relation.quoted} where {is_changed}"
    )


def consumed_commits(connection: "duckdb.DuckDBPyConnection", database: str) -> list[str]:
    """The batch ids a build or version was made from, sorted."""
    source = (
        _COMMITS.format(identifier(database))
        if database == CURRENT_BUILD
        else f"select batch_id from {identifier(database)}.lake.commits"
    )
    return sorted(row[0] for row in connection.execute(source).fetchall())


@contextmanager
def attached(connection: "duckdb.DuckDBPyConnection", version: Path) -> Iterator[str]:
    """Attach a version beside the build for reading; gives its database name.

    Raises:
        duckdb.Error: It cannot be read.
    """
    connection.execute(f"attach {literal(version)} as before (read_only)")
    try:
        yield "before"
    finally:
        connection.execute("detach before")


def same_content(
    connection: "duckdb.DuckDBPyConnection", relations: Sequence[Relation], version: str
) -> bool:
    """Whether a version holds the same tables with the same rows.

    Args:
        connection: The build file with the version attached.
        relations: What the build would publish.
        version: The version's database name.
    """
    if find_relations(connection, version) != list(relations):
        return False
    return all(
        _fingerprint(connection, CURRENT_BUILD, r) == _fingerprint(connection, version, r)
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
        f" from {identifier(database)}.{relation.quoted} as t"
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
