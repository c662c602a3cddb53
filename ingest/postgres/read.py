"""Reading rows: the statement for a part of a table, and its result as blocks of raw rows.

Here belongs the way of rows from PostgreSQL into the columns of a raw file, with bounded memory.
Here does not belong the decision of what to read (``plan``), or what becomes of it.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from ingest.postgres.catalog import ROW_ID, Column, SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.report import SourceError
from ingest.postgres.state import Position
from ingest.postgres.types import (
    UTC_TIMESTAMP,
    identifier,
    postgres_text,
    typed,
    unrepresentable_sql,
)

UPSERT, DELETE = "upsert", "delete"

_BLOCK_ROWS = 122_880  # DuckDB's row group, which raw files use too
_BLOCK_BYTES = 64 << 20
_KEYS_IN_CONDITION = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of a table that are read together: those with a cursor, in its order, or those without.

    Attributes:
        start: The smallest cursor to read, included; or the row after which to go on; None means
            from the beginning.
        limit: Most rows in one chunk; None means that all rows are one.
        without_cursor: The rows whose cursor is NULL; they have no order and no start.
        only: SQL condition of the rows; they are read without an order.
        blocks: The blocks of the file that are read, from the first to before the last; None as the
            last means to the end. The rows come as they lie there.
        below: Of these only those with a cursor below this one.
    """

    start: str | Position | None = None
    limit: int | None = None
    without_cursor: bool = False
    only: str | None = None
    blocks: tuple[int, int | None] | None = None
    below: str | None = None

    @property
    def in_order(self) -> bool:
        """Whether its rows come in the order of their cursor."""
        return not self.without_cursor and self.only is None and self.blocks is None


class Chunk:
    """The rows of one query, no more than the part's limit.

    Args:
        table: Whose rows they are.
        part: What is read.
        rows: What its query gives: one row more than the limit if there are more.

    Attributes:
        rows_read: How many rows came so far.
        end: Where the last row stands, if the part has more rows; None if it has not. Known when
            all blocks are taken.
    """

    def __init__(self, table: SourceTable, part: Part, rows: Iterable[pa.Table]) -> None:
        self._table = table
        self._part = part
        self._rows = rows
        self.rows_read = 0
        self.end: Position | None = None

    def blocks(self) -> Iterator[pa.Table]:
        """The rows, cut to blocks of a row group."""
        waiting: list[pa.Table] = []
        for rows in self._within_limit():
            waiting.append(rows)
            while sum(t.num_rows for t in waiting) >= _BLOCK_ROWS or (
                sum(t.nbytes for t in waiting) >= _BLOCK_BYTES
            ):
                joined = pa.concat_tables(waiting)
                yield joined.slice(0, _BLOCK_ROWS)
                waiting = [joined.slice(_BLOCK_ROWS)]
        if any(t.num_rows for t in waiting):
            yield pa.concat_tables(waiting)

    def _within_limit(self) -> Iterator[pa.Table]:
        limit, last = (self._part.limit if self._table.has_key else None), None
        for rows in self._rows:
            is_beyond = limit is not None and self.rows_read + rows.num_rows > limit
            kept = rows.slice(0, limit - self.rows_read) if limit and is_beyond else rows
            self.rows_read += kept.num_rows
            last = kept if kept.num_rows else last
            if is_beyond and last is not None:
                self.end = position_of(self._table, last, last.num_rows - 1)
            yield kept


@contextmanager
def reading(
    connection: Connection, table: SourceTable, part: Part, read_at: datetime
) -> Iterator[Chunk]:
    """Read the first chunk of a part while the block runs.

    Args:
        connection: In the snapshot; busy until the block ends.
        table: What to read.
        part: Which rows of it.
        read_at: The clock of the snapshot.
    """
    # Closed here and not whenever: the stream must end before its connection does.
    with (
        closing(connection.stream(rows_query(table, part))) as batches,
        ThreadPoolExecutor(1, thread_name_prefix="lake-read") as reader,
    ):
        yield Chunk(table, part, _one_ahead(reader, as_raw(table, batches, read_at)))


def _one_ahead(reader: ThreadPoolExecutor, items: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the items while the next one is made in another thread: reading beside writing."""
    following = reader.submit(next, items, None)
    while (item := following.result()) is not None:
        following = reader.submit(next, items, None)
        yield item


def rows_query(table: SourceTable, part: Part) -> str:
    """The statement that reads a part of a table, and one row more than its limit."""
    cursor = table.cursor
    if part.only is not None:
        return f"{_select(table)} where {part.only}"
    if part.blocks is not None:
        return f"{_select(table)} where {_blocks_condition(table, part)}"
    if part.without_cursor and cursor:
        return f"{_select(table)} where {column_sql(cursor)} is null"
    # Qualified: a bare name in ORDER BY would be that of the output, whose text sorts otherwise.
    order = ", ".join(map(column_sql, table.order))
    if isinstance(part.start, Position):
        texts = dict(zip(table.key_names, part.start.key, strict=True))
        if cursor and part.start.cursor is not None:
            texts[cursor.name] = part.start.cursor
        values = (typed(texts[c.name], c.cast_type) for c in table.order)
        condition = f"({order}) > ({', '.join(values)})"
    elif cursor and part.start is not None:
        condition = f"{column_sql(cursor)} >= {typed(part.start, cursor.cast_type)}"
    else:
        condition = f"{column_sql(cursor)} is not null" if cursor else "true"
    if not table.has_key:
        return f"{_select(table)} where {condition}"
    if part.limit is None:
        return f"{_select(table)} where {condition} order by {order}"
    # Limited first and written out then: PostgreSQL would carry columns through the limit twice,
    # and a table may have more than half of those that it allows.
    limited = (
        f"(select src.* from {from_sql(table)} where {condition} order by {order} "
        f"limit {part.limit + 1}) as src"
    )
    return f"{_select(table, limited)} order by {order}"


def _blocks_condition(table: SourceTable, part: Part) -> str:
    first, beyond = part.blocks or (0, None)
    conditions = [f"src.ctid >= '({first},0)'::tid"]
    if beyond is not None:
        conditions.append(f"src.ctid < '({beyond},0)'::tid")
    if table.cursor and part.below is not None:
        conditions.append(
            f"{column_sql(table.cursor)} < {typed(part.below, table.cursor.cast_type)}"
        )
    elif table.cursor and table.cursor.nullable and table.spec.null_cursor == "exclude":
        conditions.append(f"{column_sql(table.cursor)} is not null")
    return " and ".join(conditions)


def as_raw(
    table: SourceTable, batches: Iterable[pa.RecordBatch], read_at: datetime
) -> Generator[pa.Table, None, None]:
    """Give what ``rows_query`` delivered the columns of a raw file; the batch id is left NULL."""
    for batch in batches:
        columns = converted(table.columns, batch)
        _refuse_null_keys(table, columns)
        unrepresentable = batch.column(len(table.columns)) if unfit_columns(table) else None
        yield raw_table(table, columns, UPSERT, read_at, unrepresentable)


def raw_table(
    table: SourceTable,
    columns: list[pa.Array],
    operation: str,
    read_at: datetime,
    unrepresentable: pa.Array | None = None,
) -> pa.Table:
    """Columns of a source table with the meta columns beside them; the batch id is left NULL."""
    rows = len(columns[0])
    meta = [
        pa.nulls(rows, pa.string()),
        pa.repeat(pa.scalar(operation, pa.string()), rows),
        pa.repeat(pa.scalar(read_at, UTC_TIMESTAMP), rows),
        pa.nulls(rows, pa.string()) if unrepresentable is None else unrepresentable,
    ]
    place = table.schema.get_field_index("_batch_id")
    schema = table.schema.set(place, table.schema.field(place).with_nullable(True))
    return pa.Table.from_arrays([*columns, *meta], schema=schema)


def converted(columns: Iterable[Column], batch: pa.RecordBatch) -> list[pa.Array]:
    """What the driver delivered, in the types of the raw columns."""
    return [column.type.convert(batch.column(i)) for i, column in enumerate(columns)]


def column_sql(column: Column) -> str:
    """SQL of a column of the table that ``from_sql`` names."""
    return f"src.{identifier(column.name)}"


def key_conditions(table: SourceTable, keys: pa.Table) -> Iterator[str]:
    """SQL conditions that together hold for the rows with these keys.

    Args:
        table: Whose keys they are.
        keys: In raw's types, the columns named as the key's.
    """
    columns = ", ".join(map(column_sql, table.key))
    for start in range(0, keys.num_rows, _KEYS_IN_CONDITION):
        some = keys.slice(start, _KEYS_IN_CONDITION)
        texts = (map(postgres_text, some.column(c.name).to_pylist()) for c in table.key)
        values = ", ".join(
            f"({', '.join(typed(t, c.cast_type) for t, c in zip(row, table.key, strict=True))})"
            for row in zip(*texts, strict=True)
        )
        yield f"({columns}) in ({values})"


def from_sql(table: SourceTable) -> str:
    """SQL of the table, under the name by which ``column_sql`` qualifies."""
    if table.has_key:
        return f"{table.sql_name} as src"
    row_id = "said.hash || '-' || row_number() over (partition by said.hash)"
    return f"""(
        select src.*, {row_id} as {identifier(ROW_ID)}
        from {table.sql_name} as src cross join lateral (
            select left(encode(sha256(convert_to(row(src.*)::text, 'UTF8')), 'hex'), 32) as hash
        ) as said
    ) as src"""


def expression(column: Column) -> str:
    """SQL of a column as it is read."""
    return column.type.select.format(c=column_sql(column))


def position_of(table: SourceTable, rows: pa.Table, index: int) -> Position:
    """Where one row stands, in exact texts.

    Args:
        table: Whose rows they are.
        rows: Rows made by ``as_raw``, each with a cursor if the table has one.
        index: Which of them.
    """
    return Position(
        _text_at(table.cursor, rows, index) if table.cursor else None,
        tuple(_text_at(column, rows, index) for column in table.key),
    )


def _select(table: SourceTable, rows: str | None = None) -> str:
    expressions = [expression(column) for column in table.columns]
    if unfit := unfit_columns(table):
        expressions.append(unrepresentable_sql(unfit))
    return f"select {', '.join(expressions)} from {rows or from_sql(table)}"


def unfit_columns(table: SourceTable) -> list[tuple[str, str, str]]:
    """The columns that can have values which no Arrow type holds, for ``unrepresentable_sql``."""
    return [
        (column.name, column_sql(column), column.type.unfit)
        for column in table.columns
        if column.type.unfit
    ]


def _refuse_null_keys(table: SourceTable, columns: list[pa.Array]) -> None:
    for column, array in zip(table.columns, columns, strict=True):
        if column in table.key and array.null_count:
            raise SourceError(
                f"{table.spec.origin} has a row whose key {column.name} is NULL, "
                "infinite, NaN or outside the years 1 to 9999",
                "correct the row at the source, or choose another primary_key in sources.yml",
            )


def _text_at(column: Column, rows: pa.Table, index: int) -> str:
    value = rows.column(column.name)[index].as_py()
    if value is None:
        value = json.loads(rows.column("_unrepresentable")[index].as_py())[column.name]
    return postgres_text(value)
