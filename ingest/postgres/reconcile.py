"""Completeness, proven: counts and checksums of key ranges, in the source and in raw.

Both are taken of one state: the ranges of the source in the snapshot whose rows have just been
landed. So a range that differs holds rows that changed without their cursor, or whose landed
version is lost.

The checksum of a row is that of its columns' texts, which both engines write alike; the checksum
of a range is the sum of its rows'. Here belongs finding the ranges that differ. Here does not
belong reading their rows again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from ingest.postgres.catalog import Column, SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.deletes import is_wanted_sql
from ingest.postgres.known import History, numbered
from ingest.postgres.read import UPSERT, column_sql, expression, from_sql, unfit_columns
from ingest.postgres.types import (
    duckdb_type,
    literal,
    postgres_text,
    typed,
    unrepresentable_sql,
)

ROWS_A_RANGE = 20_000
MOST_RANGES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeDifference:
    """A range of keys in which source and raw differ.

    Attributes:
        column: The first column of the key, whose values bound the range.
        low: Smallest value in the range, exact text; None for the first range.
        high: Smallest value beyond it; None for the last range.
        in_source: Rows of it in the source.
        in_raw: Live rows of it in raw.
        repaired: Whether its rows were read again and agree now.
    """

    column: str
    low: str | None
    high: str | None
    in_source: int
    in_raw: int
    repaired: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For a report."""
        return asdict(self)

    def __str__(self) -> str:
        low, high = self.low or "the first", self.high or "the end"
        what = f"{self.in_source:,} rows in the source, {self.in_raw:,} in raw"
        if self.in_source == self.in_raw:
            what = f"{self.in_raw:,} rows, some of which say something else"
        done = "; repaired" if self.repaired else ""
        return f"{self.column} from {low} to before {high}: {what}{done}"


def compare_ranges(
    connection: Connection, history: History, rows_a_range: int = ROWS_A_RANGE
) -> list[RangeDifference]:
    """The ranges of keys that differ. Must run in the snapshot, after all its rows are landed.

    Args:
        connection: In the snapshot.
        history: What is landed.
        rows_a_range: About how many rows are one range.

    Raises:
        RawFileError: A commit is damaged.
    """
    table = history.table
    in_raw, bounds = _raw_ranges(history, rows_a_range)
    in_source = _source_ranges(connection, table, bounds)
    ends = [None, *bounds, None]
    nothing = (0, 0)
    return [
        RangeDifference(
            column=table.key[0].name,
            low=ends[number],
            high=ends[number + 1],
            in_source=in_source.get(number, nothing)[0],
            in_raw=in_raw.get(number, nothing)[0],
        )
        for number in range(len(bounds) + 1)
        if in_source.get(number, nothing) != in_raw.get(number, nothing)
    ]


def range_condition(table: SourceTable, difference: RangeDifference) -> str:
    """SQL condition of the rows in a range."""
    value, bound = _range_sql(table.key[0])
    conditions = [
        f"{value} {operator} {bound(text)}"
        for operator, text in ((">=", difference.low), ("<", difference.high))
        if text is not None
    ]
    return " and ".join(conditions) or "true"


def _range_sql(column: Column) -> tuple[str, Any]:
    """SQL of a column in an order that DuckDB has too, and of a constant to compare with it."""
    if column.type.arrow == pa.string():
        return f'({column_sql(column)}::text collate "C")', literal
    return column_sql(column), lambda text: typed(text, column.cast_type)


def _source_ranges(
    connection: Connection, table: SourceTable, bounds: Sequence[str]
) -> dict[int, tuple[int, int]]:
    """Count and checksum of each range that has rows in the source."""
    value, bound = _range_sql(table.key[0])
    number = f"width_bucket({value}, array[{', '.join(map(bound, bounds))}])" if bounds else "0"
    pieces = [_source_text(column) for column in table.columns]
    if unfit := unfit_columns(table):
        pieces.append(_with_length(f"({unrepresentable_sql(unfit)})", "octet_length"))
    found = connection.rows(
        f"""
        select number::int as number, count(*) as rows, sum(checksum)::text as checksum from (
            select {number} as number,
                ('x' || left(md5({_joined(pieces)}), 15))::bit(60)::bigint as checksum
            from {from_sql(table)} where {is_wanted_sql(table)}
        ) as checked group by number
        """
    )
    return {row["number"]: (row["rows"], int(row["checksum"])) for row in found}


def _raw_ranges(
    history: History, rows_a_range: int
) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """Count and checksum of each range that has live rows in raw, and what bounds the ranges."""
    table, files = history.table, list(history.infos())
    if not files:
        return {}, []
    columns = [column.name for column in table.columns]
    names = dict(zip(columns, numbered(columns), strict=True))
    beside = f"c{len(columns)}"
    pieces = [_raw_text(column, names[column.name]) for column in table.columns]
    if unfit_columns(table):
        pieces.append(_with_length(beside, "strlen"))
    key = ", ".join(names[name] for name in table.key_names)
    first = f"cast({names[table.key_names[0]]} as {duckdb_type(table.key[0].type.arrow)})"
    with history.asked(files) as engine:
        engine.execute(
            f"""
            create or replace temp table checked as
            select {first} as place, version.checksum as checksum from (
                select {key}, arg_max({{'op': op, 'checksum': checksum}}, batch) as version
                from (
                    select {key}, op, batch,
                        ('0x' || left(md5({_joined(pieces)}), 15))::bigint as checksum
                    from ({history.scan(files, [*columns, "_unrepresentable"])})
                ) group by {key}
            ) where version.op = {literal(UPSERT)}
            """
        )
        ((rows,),) = engine.execute("select count(*) from checked").fetchall()
        ranges = max(1, min(MOST_RANGES, rows // rows_a_range))
        bounds: pa.Table = engine.sql(
            f"""
            select distinct unnest(quantile_disc(place, {[n / ranges for n in range(1, ranges)]}))
                as low
            from checked order by low
            """
            if ranges > 1
            else "select place as low from checked where false"
        ).to_arrow_table()
        numbers = pa.array(range(1, bounds.num_rows + 1), pa.int32())
        engine.register("bounds", bounds.append_column("number", numbers))
        found = engine.execute(
            """
            select coalesce(bounds.number, 0), count(*), sum(checked.checksum)
            from checked asof left join bounds on checked.place >= bounds.low
            group by all
            """
        ).fetchall()
        engine.unregister("bounds")
        engine.execute("drop table checked")
    texts = [postgres_text(value) for value in bounds.column("low").to_pylist()]
    return {number: (count, int(checksum)) for number, count, checksum in found}, texts


def _joined(pieces: Iterable[str]) -> str:
    """SQL of the texts of a row's columns as one; the length of free text keeps them apart."""
    return " || '|' || ".join(f"coalesce({piece}, '-')" for piece in pieces)


def _with_length(text: str, length: str) -> str:
    return f"({length}({text})::varchar || ':' || {text})"


def _source_text(column: Column) -> str:
    """SQL in which PostgreSQL writes a value as it is in raw."""
    value, arrow = column_sql(column), column.type.arrow
    if arrow == pa.string():
        return _with_length(f"({expression(column)})", "octet_length")
    if arrow == pa.float32():
        text = f"('x' || encode(float4send({value}), 'hex'))::bit(32)::text"
    elif arrow == pa.float64():
        text = f"('x' || encode(float8send({value}), 'hex'))::bit(64)::text"
    elif arrow == pa.binary():
        text = f"encode({value}, 'hex')"
    elif arrow == pa.date32():
        text = f"({value} - date '1970-01-01')::text"
    elif pa.types.is_timestamp(arrow):
        text = f"(extract(epoch from {value}) * 1000000)::bigint::text"
    else:
        text = f"{value}::text"
    if column.type.unfit is None:
        return text
    return f"(case when not ({column.type.unfit.format(c=value)}) then {text} end)"


def _raw_text(column: Column, name: str) -> str:
    """SQL in which DuckDB writes it."""
    arrow = column.type.arrow
    value = f"cast({name} as {duckdb_type(arrow)})"
    if arrow == pa.string():
        return _with_length(value, "strlen")
    if arrow in (pa.float32(), pa.float64()):
        return f"cast(cast({value} as bit) as varchar)"
    if arrow == pa.binary():
        return f"lower(hex({value}))"
    if arrow == pa.date32():
        return f"cast({value} - date '1970-01-01' as varchar)"
    if pa.types.is_timestamp(arrow):
        return f"cast(epoch_us({value}) as varchar)"
    return f"cast({value} as varchar)"
