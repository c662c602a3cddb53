"""What the database's catalog says about a table, checked against what is declared.

Here belongs finding out the columns, the key, the privileges and the index on the cursor, and the
sentence for each thing that makes extraction impossible. Here does not belong reading rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ingest.postgres.connection import Connection, Row
from ingest.postgres.identity import Relation
from ingest.postgres.report import SourceError
from ingest.postgres.types import ColumnType, column_type, identifier, literal
from ingest.sources import TableSpec
from lakehouse.raw import META_FIELDS, raw_schema

ROW_ID = "_row_id"
"""Identifies a row of a table without a key: a hash of all it says, and its number among equals."""

TIMESTAMPTZ = "timestamp with time zone"
TIMESTAMP = "timestamp without time zone"
DATE = "date"
_OF_TIME = (TIMESTAMPTZ, TIMESTAMP, DATE)
_NUMBERS = ("smallint", "integer", "bigint", "numeric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a source table.

    Attributes:
        name: Its name.
        pg_type: Its type with the modifier, as ``format_type`` writes it; a domain's base type.
        cast_type: The same without the modifier: what a constant of this type is cast to.
        nullable: Whether the catalog allows NULL.
        type: How it is read and stored.
    """

    name: str
    pg_type: str
    cast_type: str
    nullable: bool
    type: ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """One table as it is in the database now, fit for extraction.

    Attributes:
        spec: What is declared about it.
        columns: Its columns in their order.
        key: The columns that identify a row; ``ROW_ID`` if nothing else does.
        cursor: The column that grows with every change; None means that every run reads all rows.
        cursor_indexed: Whether an index begins with the cursor; without one every run scans.
        rows_estimate: The planner's idea of how many rows there are; None before the first ANALYZE.
        blocks: How many blocks its file has, if it is one heap that can be read block by block.
        schema: The Arrow schema of its raw files.
        relations: Those that hold its rows, itself first.
        has_key: Whether its rows have a key, and not only what they say.
        is_key_unique: Whether an index makes its key unique, in one relation.
    """

    spec: TableSpec
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    cursor: Column | None
    cursor_indexed: bool
    rows_estimate: int | None
    blocks: int | None
    schema: pa.Schema
    relations: tuple[Relation, ...]
    has_key: bool
    is_key_unique: bool

    @property
    def sql_name(self) -> str:
        """The table's quoted name."""
        return f"{identifier(self.spec.schema)}.{identifier(self.spec.relation)}"

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of the key's columns."""
        return tuple(column.name for column in self.key)

    @property
    def cursor_is_number(self) -> bool:
        """Whether the cursor is a number and not a time."""
        return self.cursor is not None and self.cursor.cast_type in _NUMBERS

    @property
    def order(self) -> tuple[Column, ...]:
        """The columns in whose order it is read in chunks: the cursor, then the key."""
        if self.cursor is None:
            return self.key
        return (self.cursor, *(column for column in self.key if column != self.cursor))

    @property
    def source_types(self) -> dict[str, str]:
        """Each column's PostgreSQL type, for people and for telling that one changed."""
        return {column.name: column.pg_type for column in self.columns}


_ROW = Column(
    name=ROW_ID, pg_type="text", cast_type="text", nullable=False, type=column_type("text")
)


def read_table(
    connection: Connection, spec: TableSpec, relations: tuple[Relation, ...]
) -> SourceTable:
    """Look a table up and check that it can be extracted as declared.

    Args:
        connection: In the snapshot.
        spec: What is declared.
        relations: Those that hold its rows, as they were just before the snapshot.

    Raises:
        SourceError: It is missing, may not be read, or has no usable key or cursor.
    """
    relation = _relation(connection, spec, relations)
    columns = _columns(connection, spec, relation["oid"])
    by_name = {column.name: column for column in columns}
    key_names, is_unique = _key(connection, spec, relation, by_name)
    cursor = _cursor(spec, by_name)
    has_key = bool(key_names)
    if not has_key:
        if any(name.lower() == ROW_ID for name in by_name):
            raise SourceError(
                f"{spec.origin} has no key, and its column {ROW_ID} bears the name "
                "that raw files use for one",
                "rename it at the source, or add a primary key",
            )
        columns, key_names, cursor = (*columns, _ROW), (ROW_ID,), None
        by_name[ROW_ID] = _ROW
    return SourceTable(
        spec=spec,
        columns=columns,
        key=tuple(by_name[name] for name in key_names),
        cursor=cursor,
        cursor_indexed=cursor is None or _is_indexed(connection, cursor, relation["oid"]),
        rows_estimate=relation["estimate"] if relation["estimate"] > 0 else None,
        blocks=relation["blocks"] if has_key and len(relations) == 1 else None,
        schema=raw_schema(pa.schema([(column.name, column.type.arrow) for column in columns])),
        relations=relations,
        has_key=has_key,
        is_key_unique=is_unique and (relation["kind"] != "r" or len(relations) == 1),
    )


def refuse_repeated_keys(connection: Connection, table: SourceTable) -> None:
    """Count the rows of a table that no index keeps from having a key twice.

    Of two rows with one key only one would survive. Must run in the snapshot.

    Raises:
        SourceError: A key stands in more than one row.
    """
    if table.is_key_unique:
        return
    key = [f"src.{identifier(name)}" for name in table.key_names]
    example = " || ', ' || ".join(
        f"{literal(f'{name} = ')} || coalesce({column}::text, 'NULL')"
        for name, column in zip(table.key_names, key, strict=True)
    )
    found = connection.row(
        f"""
        select count(*) as keys, min(example) as example from (
            select {example} as example from {table.sql_name} as src
            group by {", ".join(key)} having count(*) > 1
        ) as repeated
        """
    )
    if found["keys"]:
        spec = table.spec
        raise SourceError(
            f"{found['keys']:,} keys ({', '.join(table.key_names)}) of {spec.origin} "
            f"stand in more than one row, as {found['example']}",
            "declare a primary_key in ingest/sources.yml that tells its rows apart",
        )


def _relation(connection: Connection, spec: TableSpec, relations: tuple[Relation, ...]) -> Row:
    found = connection.rows(
        f"""
        select c.oid::bigint as oid, c.relkind::text as kind,
            (select sum(greatest(r.reltuples, 0)) from pg_class r
                where r.oid in ({", ".join(relation.oid for relation in relations) or "0"})
            )::bigint as estimate,
            -- A range of blocks is read as such since version 14.
            case when c.relkind in ('r', 'm') and current_setting('server_version_num')::int
                    >= 140000 and (select amname from pg_am where oid = c.relam) = 'heap'
                then pg_relation_size(c.oid) / current_setting('block_size')::int
            end as blocks,
            has_schema_privilege(n.oid, 'USAGE') as usable,
            current_user::text as role
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = {literal(spec.schema)} and c.relname = {literal(spec.relation)}
            and c.relkind in ('r', 'p', 'v', 'm', 'f')
        """
    )
    if not found:
        raise SourceError(
            f"the source database has no table {spec.origin}",
            "create it or correct ingest/sources.yml; the demo's tables are made by `lake seed`",
        )
    if not found[0]["usable"]:
        role = found[0]["role"]
        raise SourceError(
            f"role {role} may not use schema {spec.schema}",
            f"run `grant usage on schema {spec.schema} to {role}` at the source",
        )
    return found[0]


def _columns(connection: Connection, spec: TableSpec, oid: int) -> tuple[Column, ...]:
    # A domain is read as its base type: the recursion ends where the type is no domain any more.
    found = connection.rows(
        f"""
        with recursive base as (
            select a.attnum, a.attname, a.attnotnull, a.atttypid as typid, a.atttypmod as typmod
            from pg_attribute a where a.attrelid = {oid} and a.attnum > 0 and not a.attisdropped
            union all
            select b.attnum, b.attname, b.attnotnull or t.typnotnull, t.typbasetype, t.typtypmod
            from base b join pg_type t on t.oid = b.typid and t.typtype = 'd'
        )
        select b.attname::text as name, format_type(b.typid, b.typmod) as pg_type,
            format_type(b.typid, -1) as cast_type, not b.attnotnull as nullable,
            has_column_privilege({oid}, b.attnum, 'SELECT') as readable, current_user::text as role
        from base b join pg_type t on t.oid = b.typid and t.typtype <> 'd'
        order by b.attnum
        """
    )
    _refuse_unreadable(spec, found)
    _refuse_names(spec, [row["name"] for row in found])
    return tuple(
        Column(
            name=row["name"],
            pg_type=row["pg_type"],
            cast_type=row["cast_type"],
            nullable=row["nullable"],
            type=column_type(row["pg_type"]),
        )
        for row in found
    )


def _refuse_names(spec: TableSpec, columns: Sequence[str]) -> None:
    """DuckDB does not tell names apart that differ only in case; no column may hide another."""
    taken = {field.name: "" for field in META_FIELDS}
    for name in columns:
        other = taken.setdefault(name.lower(), name)
        if other == name:
            continue
        what = (
            f"columns {other} and {name}, which differ only in case"
            if other
            else f"a column {name}, a name that raw files use"
        )
        raise SourceError(
            f"{spec.origin} has {what}",
            "rename it at the source, or extract a view that renames it",
        )


def _refuse_unreadable(spec: TableSpec, columns: Sequence[Row]) -> None:
    hidden = [row["name"] for row in columns if not row["readable"]]
    if not hidden:
        return
    role = columns[0]["role"]
    what = "" if len(hidden) == len(columns) else f" column {', '.join(hidden)} of"
    raise SourceError(
        f"role {role} may not read{what} {spec.origin}",
        f"run `grant select on {spec.origin} to {role}` at the source",
    )


def _key(
    connection: Connection, spec: TableSpec, relation: Row, columns: dict[str, Column]
) -> tuple[tuple[str, ...], bool]:
    """The key, and whether an index makes it unique; no columns if nothing identifies a row."""
    unique = connection.rows(
        f"""
        select array_to_string(array(
            select a.attname::text from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
            where k.place <= i.indnkeyatts order by k.place), e'\\x1f') as columns,
            not exists(
                select from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
                join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                where k.place <= i.indnkeyatts and not a.attnotnull
            ) as identifies
        from pg_index i
        where i.indrelid = {relation["oid"]} and i.indisunique and i.indisvalid
            and i.indpred is null and i.indexprs is null
        order by i.indisprimary desc, i.indnkeyatts, i.indexrelid
        """
    )
    keys = [tuple(row["columns"].split("\x1f")) for row in unique]
    if not spec.primary_key:
        pairs = zip(keys, unique, strict=True)
        return next((key for key, row in pairs if row["identifies"]), ()), True
    if missing := [name for name in spec.primary_key if name not in columns]:
        raise _no_column(spec, "primary_key", missing[0], columns)
    is_unique = set(spec.primary_key) in map(set, keys)
    # A view or a foreign table has no indexes: its rows are counted instead.
    if relation["kind"] in ("r", "p") and not is_unique:
        declared = ", ".join(spec.primary_key)
        raise SourceError(
            f"nothing makes ({declared}) unique in {spec.origin}",
            f"add a primary key or a unique index on ({declared}) at the source",
        )
    return spec.primary_key, is_unique


def _cursor(spec: TableSpec, columns: dict[str, Column]) -> Column | None:
    if spec.cursor is None:
        return None
    if spec.cursor not in columns:
        raise _no_column(spec, "cursor", spec.cursor, columns)
    cursor = columns[spec.cursor]
    if cursor.cast_type not in (*_OF_TIME, *_NUMBERS):
        raise SourceError(
            f"the cursor {spec.cursor} of {spec.origin} is {cursor.pg_type}, which "
            "does not grow with time",
            "choose a timestamp, date or number column as its cursor in ingest/sources.yml",
        )
    is_span = bool(spec.lookback.span)
    if (is_span and cursor.cast_type in _NUMBERS) or (
        spec.lookback.units and not is_span and (cursor.cast_type in _OF_TIME)
    ):
        wanted = "a bare number" if cursor.cast_type in _NUMBERS else "a span such as 1h"
        raise SourceError(
            f"lookback {spec.lookback} of {spec.label} does not fit its cursor {spec.cursor} "
            f"({cursor.pg_type})",
            f"give {wanted} in ingest/sources.yml",
        )
    return cursor


def _is_indexed(connection: Connection, cursor: Column, oid: int) -> bool:
    found = connection.row(
        f"""
        select exists(
            select from pg_index i join pg_attribute a
                on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = {oid} and i.indisvalid and a.attname = {literal(cursor.name)}
        ) as indexed
        """
    )
    return bool(found["indexed"])


def _no_column(
    spec: TableSpec, declared_as: str, name: str, columns: dict[str, Column]
) -> SourceError:
    return SourceError(
        f"{spec.origin} has no column {name}, its declared {declared_as}",
        f"correct ingest/sources.yml; it has {', '.join(columns)}",
    )
