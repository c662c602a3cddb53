"""The statements that read a table's rows, and what becomes of their result.

Here belongs the text of the queries and the conversion of what the driver delivers into the columns
of a raw file. Here does not belong the decision of what to read, or where it goes.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime

import pyarrow as pa

from ingest.postgres.catalog import Column, SourceTable
from ingest.postgres.errors import SourceError
from ingest.postgres.sql import identifier, literal, names, typed
from ingest.postgres.state import Position
from ingest.postgres.types import UTC_TIMESTAMP, postgres_text, unrepresentable_sql

UPSERT, DELETE = "upsert", "delete"


def chunk_query(table: SourceTable, start: str | Position | None, limit: int) -> str:
    """Read rows that have a cursor, in the order of cursor and key.

    Args:
        table: What to read.
        start: The smallest cursor to read, included; or the row after which to go on; None means
            from the beginning.
        limit: Most rows to read.
    """
    ordered = (table.cursor, *(column for column in table.key if column != table.cursor))
    order = names(column.name for column in ordered)
    if isinstance(start, Position):
        texts = (start.cursor, *_key_beside_cursor(table, start))
        values = (typed(t, c.cast_type) for t, c in zip(texts, ordered, strict=True))
        condition = f"({order}) > ({', '.join(values)})"
    elif start is not None:
        condition = f"{identifier(table.cursor.name)} >= {typed(start, table.cursor.cast_type)}"
    else:
        condition = f"{identifier(table.cursor.name)} is not null"
    return f"{_select(table)} where {condition} order by {order} limit {limit}"


def nulls_query(table: SourceTable) -> str:
    """Read the rows that have no cursor."""
    return f"{_select(table)} where {identifier(table.cursor.name)} is null"


def keys_query(table: SourceTable) -> str:
    """Read the keys of all rows."""
    return f"select {', '.join(map(_expression, table.key))} from {table.sql_name}"


def count_query(table: SourceTable) -> str:
    """Count the rows that are to be in raw."""
    where = f" where {identifier(table.cursor.name)} is not null"
    excludes = table.spec.null_cursor == "exclude" and table.cursor.nullable
    return f"select count(*) as rows from {table.sql_name}{where if excludes else ''}"


def as_raw(
    table: SourceTable, batches: Iterable[pa.RecordBatch], read_at: datetime
) -> Generator[pa.Table, None, None]:
    """Give what ``chunk_query`` or ``nulls_query`` delivered the columns of a raw file.

    The batch id is left NULL: ``with_batch_id`` sets it when the rows are written.
    """
    for batch in batches:
        columns = _converted(table.columns, batch)
        _refuse_null_keys(table, columns)
        unrepresentable = batch.column(len(table.columns)) if _unfit(table) else None
        meta = _meta_columns(batch.num_rows, UPSERT, read_at, unrepresentable)
        yield pa.Table.from_arrays([*columns, *meta], schema=_draft(table.schema))


def as_keys(table: SourceTable, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
    """What ``keys_query`` delivered, in the types of the raw columns."""
    schema = pa.schema([(column.name, column.type.arrow) for column in table.key])

    def converted() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_arrays(_converted(table.key, batch), schema=schema)

    return pa.RecordBatchReader.from_batches(schema, converted())


def as_tombstones(table: SourceTable, keys: pa.Table, read_at: datetime) -> pa.Table:
    """Rows that say that these keys are gone: all but the key is NULL."""
    rows = keys.num_rows
    columns = [
        keys.column(field.name).cast(field.type)
        if field.name in table.key_names
        else pa.nulls(rows, field.type)
        for field in list(table.schema)[: len(table.columns)]
    ]
    meta = _meta_columns(rows, DELETE, read_at, None)
    return pa.Table.from_arrays([*columns, *meta], schema=_draft(table.schema))


def with_batch_id(rows: pa.Table, batch_id: str, schema: pa.Schema) -> pa.Table:
    """Put the batch id into rows made by ``as_raw`` or ``as_tombstones``."""
    place = schema.get_field_index("_batch_id")
    column = pa.repeat(pa.scalar(batch_id, pa.string()), rows.num_rows)
    return rows.set_column(place, schema.field(place), column).cast(schema)


def position_of(table: SourceTable, rows: pa.Table, index: int) -> Position:
    """Where one row stands, in exact texts.

    Args:
        table: Whose rows they are.
        rows: Rows made by ``as_raw`` from ``chunk_query``.
        index: Which of them.
    """
    return Position(
        _text_at(table.cursor, rows, index),
        tuple(_text_at(column, rows, index) for column in table.key),
    )


def to_footer(table: SourceTable, position: Position) -> dict[str, str]:
    """A position as footers hold it: column to exact text."""
    fields = dict(zip(table.key_names, position.key, strict=True))
    return {table.cursor.name: position.cursor, **fields}


def from_footer(table: SourceTable, fields: dict[str, str]) -> Position:
    """Read a position back from a footer."""
    return Position(fields[table.cursor.name], tuple(fields[name] for name in table.key_names))


def _select(table: SourceTable) -> str:
    expressions = [_expression(column) for column in table.columns]
    if (unrepresentable := unrepresentable_sql(_unfit(table))) is not None:
        expressions.append(unrepresentable)
    return f"select {', '.join(expressions)} from {table.sql_name}"


def _expression(column: Column) -> str:
    return column.type.select.format(c=identifier(column.name))


def _unfit(table: SourceTable) -> list[tuple[str, str, str]]:
    return [
        (literal(column.name), identifier(column.name), column.type.unfit)
        for column in table.columns
        if column.type.unfit
    ]


def _key_beside_cursor(table: SourceTable, position: Position) -> list[str]:
    pairs = zip(table.key, position.key, strict=True)
    return [text for column, text in pairs if column != table.cursor]


def _converted(columns: Iterable[Column], batch: pa.RecordBatch) -> list[pa.Array]:
    return [column.type.convert(batch.column(i)) for i, column in enumerate(columns)]


def _draft(schema: pa.Schema) -> pa.Schema:
    """The raw schema for rows that have no batch id yet."""
    place = schema.get_field_index("_batch_id")
    return schema.set(place, schema.field(place).with_nullable(True))


def _meta_columns(
    rows: int, operation: str, read_at: datetime, unrepresentable: pa.Array | None
) -> list[pa.Array]:
    return [
        pa.nulls(rows, pa.string()),
        pa.repeat(pa.scalar(operation, pa.string()), rows),
        pa.repeat(pa.scalar(read_at, UTC_TIMESTAMP), rows),
        pa.nulls(rows, pa.string()) if unrepresentable is None else unrepresentable,
    ]


def _refuse_null_keys(table: SourceTable, columns: list[pa.Array]) -> None:
    for column, array in zip(table.columns, columns, strict=True):
        if column in table.key and array.null_count:
            raise SourceError(
                f"{table.spec.schema}.{table.spec.name} has a row whose key {column.name} is NULL, "
                "infinite, NaN or outside the years 1 to 9999",
                "correct the row at the source, or choose another primary_key in sources.yml",
            )


def _text_at(column: Column, rows: pa.Table, index: int) -> str:
    value = rows.column(column.name)[index].as_py()
    if value is None:
        value = json.loads(rows.column("_unrepresentable")[index].as_py())[column.name]
    return postgres_text(value)
