"""Columns of whole numbers into PostgreSQL by COPY, without a loop over rows.

Money is cents and time is microseconds since 1970 UTC until the very end, so nothing is rounded.
"""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg import Connection, sql

from demo.shop.connection import SCHEMA
from lakehouse.progress import Advance

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SECOND = 1_000_000
DAY = 86_400 * SECOND

_CHUNK_ROWS = 20_000
_MONEY = pa.decimal128(12, 2)
_RATE = pa.decimal128(5, 4)


def generator(*seed: int) -> np.random.Generator:
    """A generator of random numbers that these numbers alone determine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def money(cents: Ints) -> Any:
    """Cents as numeric(12,2)."""
    return _decimals(cents, _MONEY)


def rates(basis_points: Ints) -> Any:
    """Ten-thousandths as numeric(5,4)."""
    return _decimals(basis_points, _RATE)


def timestamps(microseconds: Ints) -> Any:
    """Microseconds since 1970 UTC as timestamptz."""
    return pa.array(microseconds, pa.timestamp("us", "UTC"))


def dates(days: Ints) -> Any:
    """Days since 1970 as date."""
    return pa.array(days.astype(np.int32), pa.date32())


def choose(texts: list[str], indexes: Ints) -> Any:
    """One text per index."""
    return pa.DictionaryArray.from_arrays(pa.array(indexes), pa.array(texts)).cast(pa.string())


def or_null(numbers: Ints, missing: int = 0) -> Any:
    """Whole numbers of which one value stands for NULL."""
    return pa.array(numbers, pa.int64(), mask=numbers == missing)


def _decimals(numbers: Ints, kind: Any) -> Any:
    # A decimal128 is the number's 128 bits, low half first.
    halves = np.empty((len(numbers), 2), dtype="<i8")
    halves[:, 0] = numbers
    halves[:, 1] = numbers >> 63
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(halves.tobytes())])


def copy_rows(
    connection: Connection[Any], table: str, rows: Any, progress: Advance | None = None
) -> None:
    """Append rows to a table of the shop.

    Args:
        connection: Its transaction is used and left open.
        table: Name in the schema ``shop``.
        rows: A ``pyarrow.Table`` with columns of the table's names; the others get their default.
        progress: Told the number of rows after each chunk.
    """
    statement = sql.SQL("copy {}.{} ({}) from stdin (format csv)").format(
        sql.Identifier(SCHEMA),
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, rows.column_names)),
    )
    options = pacsv.WriteOptions(include_header=False)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, rows.num_rows, _CHUNK_ROWS):
            chunk = rows.slice(start, _CHUNK_ROWS)
            text = io.BytesIO()
            pacsv.write_csv(chunk, text, options)
            copy.write(text.getbuffer())
            if progress is not None:
                progress.advance(chunk.num_rows)


def restart_identities(connection: Connection[Any], keys: dict[str, str]) -> None:
    """Let the next generated key of each table follow its highest one.

    Args:
        connection: Its transaction is used and left open.
        keys: Key column per table.
    """
    for table, key in keys.items():
        statement = sql.SQL(
            "select setval(pg_get_serial_sequence({name}, {column}), coalesce(max({key}), 0) + 1,"
            " false) from {schema}.{table}"
        ).format(
            name=sql.Literal(f"{SCHEMA}.{table}"),
            column=sql.Literal(key),
            key=sql.Identifier(key),
            schema=sql.Identifier(SCHEMA),
            table=sql.Identifier(table),
        )
        connection.execute(statement)
