"""How values enter a statement and leave it: quoting, and one Arrow type for each column, for ever.

Here belongs how a name or a value is quoted, how a column is selected, which of its values no Arrow
type can hold, and how what the driver delivers becomes the column of a raw file. Here does not
belong where the columns come from, or a whole statement.

The rule: an exact Arrow type where there is one, else PostgreSQL's own text. A value that the exact
type cannot hold (NaN, infinity, a year outside 1 to 9999) becomes NULL, and its text is kept in the
column ``_unrepresentable``. No value is ever altered.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

UTC_TIMESTAMP = pa.timestamp("us", tz="UTC")

# numeric(p<=18) times ten to its scale fits a bigint, which PostgreSQL sends and Arrow reads far
# faster than text (0.8 s of 3.9 s for five million rows).
_BIGINT_DIGITS = 18
_DECIMAL128_DIGITS = 38
_JSON_PAIRS = 50  # a PostgreSQL function takes 100 arguments

_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")
_EXACT: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "bytea": pa.binary(),
}
_OF_TIME: dict[str, tuple[pa.DataType, str, str]] = {
    "date": (pa.date32(), "0001-01-01", "10000-01-01"),
    "timestamp without time zone": (
        pa.timestamp("us"), "0001-01-01 00:00:00", "10000-01-01 00:00:00"
    ),
    "timestamp with time zone": (
        UTC_TIMESTAMP, "0001-01-01 00:00:00+00", "10000-01-01 00:00:00+00"
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """How one PostgreSQL type is read and stored.

    Attributes:
        arrow: The type in raw files.
        select: SQL expression of what is read, with ``{c}`` for the column.
        unfit: SQL condition of a value that ``arrow`` cannot hold; None if every value fits.
        convert: Turns what the driver delivers into ``arrow``.
    """

    arrow: pa.DataType
    select: str
    convert: Callable[[pa.Array], pa.Array]
    unfit: str | None = None


def identifier(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def names(columns: Iterable[str]) -> str:
    """Quoted names, separated by commas."""
    return ", ".join(map(identifier, columns))


def literal(value: str) -> str:
    """Quote a text; the session has ``standard_conforming_strings`` on, so only quotes matter.

    Values become part of the statement: the driver reads with COPY, which takes no parameters.
    """
    return "'" + value.replace("'", "''") + "'"


def typed(value: str, pg_type: str) -> str:
    """A value given by its exact text, as a constant of its type."""
    return f"{literal(value)}::{pg_type}"


def column_type(pg_type: str) -> ColumnType:
    """Choose how a PostgreSQL type is read and stored.

    Args:
        pg_type: As ``format_type`` writes it with its modifier, a domain's base type for a domain.
    """
    if pg_type in _EXACT:
        return _delivered_as(_EXACT[pg_type], "{c}")
    base = re.sub(r"\(\d+\)", "", pg_type)
    if base in _OF_TIME:
        return _of_time(*_OF_TIME[base], base)
    if (match := _NUMERIC.fullmatch(pg_type)) and _is_decimal(int(match[1]), int(match[2])):
        return _decimal(int(match[1]), int(match[2]))
    return _delivered_as(pa.string(), "{c}::text")


_INTEGERS = (pa.int16(), pa.int32(), pa.int64())
_DUCKDB = {
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.binary(): "blob",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
    UTC_TIMESTAMP: "timestamptz",
}


def widens(was: pa.DataType, now: pa.DataType) -> bool:
    """Whether every value of one raw type is the same value in another one."""
    if was in _INTEGERS and now in _INTEGERS:
        return _INTEGERS.index(was) <= _INTEGERS.index(now)
    if pa.types.is_decimal(was) and pa.types.is_decimal(now):
        whole = now.precision - now.scale >= was.precision - was.scale
        return bool(whole and now.scale >= was.scale)
    return (was, now) == (pa.float32(), pa.float64())


def duckdb_type(arrow: pa.DataType) -> str:
    """DuckDB's name of a raw column's type."""
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    return _DUCKDB.get(arrow, "varchar")


def unrepresentable_sql(columns: Sequence[tuple[str, str, str]]) -> str:
    """SQL for a JSON object of the values that no Arrow type can hold, NULL if there are none.

    Args:
        columns: For each column that can have such values its name, its SQL and its
            ``ColumnType.unfit``.
    """
    conditions = [unfit.format(c=column) for _, column, unfit in columns]
    pairs = [
        f"{literal(name)}, case when {condition} then {column}::text end"
        for (name, column, _), condition in zip(columns, conditions, strict=True)
    ]
    objects = " || ".join(
        f"jsonb_build_object({', '.join(pairs[i : i + _JSON_PAIRS])})"
        for i in range(0, len(pairs), _JSON_PAIRS)
    )
    return f"case when {' or '.join(conditions)} then jsonb_strip_nulls({objects})::text end"


def postgres_text(value: Any) -> str:
    """Write a value read from a raw column as PostgreSQL's ``::text`` writes it.

    Asking the server for the text of every row's cursor would cost as much as reading the row.

    Args:
        value: A Python value from an Arrow column of a type that ``column_type`` gives.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            text = value.replace(tzinfo=None).isoformat(sep=" ")
            text = text.rstrip("0") if "." in text else text
            return text if value.tzinfo is None else f"{text}+00"
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case bytes():
            return f"\\x{value.hex()}"
    return str(value)


def _is_decimal(precision: int, scale: int) -> bool:
    return precision <= _DECIMAL128_DIGITS and 0 <= scale <= precision


def _delivered_as(arrow: pa.DataType, select: str) -> ColumnType:
    return ColumnType(arrow=arrow, select=select, convert=lambda array: array.cast(arrow))


def _of_time(arrow: pa.DataType, first: str, beyond: str, pg_type: str) -> ColumnType:
    fits = f"{{c}} >= '{first}'::{pg_type} and {{c}} < '{beyond}'::{pg_type}"
    return ColumnType(
        arrow=arrow,
        select=f"case when {fits} then {{c}}::{pg_type} end",
        convert=lambda array: array.cast(arrow),
        unfit=f"not ({fits})",
    )


def _decimal(precision: int, scale: int) -> ColumnType:
    arrow = pa.decimal128(precision, scale)
    number = "nullif({c}, 'NaN')"
    if precision > _BIGINT_DIGITS:
        select, convert = f"{number}::text", lambda array: pc.cast(array, arrow)
    else:
        select = f"({number} * {10**scale})::bigint"
        convert = lambda array: array.cast(pa.decimal128(19, 0)).view(arrow)  # noqa: E731
    return ColumnType(arrow=arrow, select=select, convert=convert, unfit="{c} = 'NaN'")
