"""Hard deletes: keys that are live in raw and gone from the source become tombstones.

All keys are compared, because equal counts are not equal keys: one row deleted and another one
inserted late leave the count as it was. Where the source's keys have the mark that they had when
they were last found equal, and raw is as it was then, they are equal still.

Here belong the comparison of keys and the guard against deleting too much. Here does not belong
writing tombstones (``commit``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.postgres.catalog import SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.known import History, numbered
from ingest.postgres.read import DELETE, column_sql, converted, expression, from_sql
from ingest.postgres.report import DeletesRefusedError, SourceError
from ingest.postgres.types import literal
from lakehouse.raw import RawFileError

if TYPE_CHECKING:
    import duckdb

ALWAYS_ALLOWED = 10
"""So many rows may disappear whatever their share: five of a table of eight are no accident."""

_TOMBSTONE_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDifference:
    """How the live keys in raw and the keys in the source differ.

    Attributes:
        live: Live keys in raw: keys whose latest version is no tombstone.
        in_source: Rows in the source.
        mark: Identifies the source's keys; see ``key_mark``.
        gone: Live keys that the source does not have.
        missing: Keys of the source that are not live: their rows were never landed, because
            their cursor lies below what is read, or were tombstoned and came back unchanged.
    """

    live: int
    in_source: int
    mark: str
    gone: int = 0
    missing: int = 0


def key_mark(connection: Connection, table: SourceTable) -> str:
    """Identify the keys in the source without reading them; must run in the snapshot.

    Returns:
        Their count, and sums of a 64-bit hash of all of them and of those to be landed: other keys
        have another mark, but for a chance of one in 2**64.
    """
    one = table.key[0] if len(table.key) == 1 else None
    if one is not None and one.cast_type in ("smallint", "integer", "bigint"):
        hashed = f"hashint8extended({column_sql(one)}::bigint, 0)"
    else:
        columns = ", ".join(map(column_sql, table.key))
        text = f"{column_sql(one)}::text" if one else f"row({columns})::text"
        hashed = f'hashtextextended({text} collate "C", 0)'
    found = connection.row(
        f"""
        select format('%s %s %s', count(*), coalesce(sum({hashed}), 0),
            coalesce(sum({hashed}) filter (where {is_wanted_sql(table)}), 0)) as mark
        from {from_sql(table)}
        """
    )
    return str(found["mark"])


def compare_keys(connection: Connection, history: History, mark: str) -> KeyDifference:
    """Compare keys; must run in the snapshot, after all its rows are landed.

    What differs stays loaded for ``gone_keys`` and ``missing_keys``.

    Args:
        connection: In the snapshot.
        history: What is landed, this run's commits included.
        mark: The ``key_mark`` of the snapshot.

    Raises:
        RawFileError: A commit is damaged; what looks deleted may only be unreadable.
    """
    table = history.table
    files = list(history.infos())
    columns = ", ".join(map(expression, table.key))
    keys = f"select {columns}, {is_wanted_sql(table)} from {from_sql(table)}"
    key = ", ".join(numbered(table.key))
    with history.asked(files) as engine:
        _store_keys(engine, table, connection.stream(keys))
        live = _live(history, files) if files else f"select {key} from source_keys where false"
        engine.execute(f"create or replace temp table live_keys as {live}")
        ((in_source, alive, gone, missing),) = engine.execute(
            f"""
            select
                (select count(*) from source_keys), (select count(*) from live_keys),
                (select count(*) from live_keys anti join source_keys using ({key})),
                (select count(*) from ({_missing(key)}))
            """
        ).fetchall()
    if gone or missing:
        _check_keys(history)
    return KeyDifference(live=alive, in_source=in_source, mark=mark, gone=gone, missing=missing)


def missing_keys(history: History) -> pa.Table:
    """The keys that ``compare_keys`` found missing."""
    key = ", ".join(numbered(history.table.key))
    with history.asked(()) as engine:
        found: pa.Table = engine.sql(_missing(key)).to_arrow_table()
    return found.rename_columns(list(history.table.key_names))


def _missing(key: str) -> str:
    return f"select {key} from source_keys anti join live_keys using ({key}) where wanted"


def gone_keys(history: History) -> Iterator[pa.Table]:
    """The keys that ``compare_keys`` found gone, in blocks."""
    key = ", ".join(numbered(history.table.key))
    with history.asked(()) as engine:
        reader: Any = engine.sql(
            f"select {key} from live_keys anti join source_keys using ({key}) order by {key}"
        ).to_arrow_reader(_TOMBSTONE_ROWS)
        for batch in reader:
            yield pa.Table.from_batches([batch]).rename_columns(list(history.table.key_names))


def refuse_too_many(table: SourceTable, difference: KeyDifference, landed: int) -> None:
    """Stop before tombstones that look like an accident.

    Args:
        table: The table.
        difference: Its keys.
        landed: Rows that this run has landed: in a table without a key a changed row is a new one
            and a deleted one.

    Raises:
        DeletesRefusedError: The source is empty, or too large a share of the rows is gone.
    """
    gone, live, limit = difference.gone, difference.live, table.spec.max_delete_share
    if not table.has_key:
        gone, live = max(0, gone - landed), max(1, live - landed)
    name = f"{table.spec.origin}"
    override = (
        f"look at the source; if the rows are really gone, run "
        f"`lake extract {table.spec.name} --allow-deletes`"
    )
    if gone and difference.in_source == 0:
        raise DeletesRefusedError(
            f"{name} is empty at the source: that would delete all {live:,} rows (100 %), "
            "which is never done unasked",
            override,
        )
    if gone > ALWAYS_ALLOWED and gone > limit * live:
        raise DeletesRefusedError(
            f"{gone:,} of {live:,} rows of {name} are gone from the source: that would delete "
            f"{gone / live:.0%}, more than {limit:.0%}",
            override,
        )


def refuse_missing(table: SourceTable, difference: KeyDifference) -> None:
    """Stop when rows are not in raw although all were just read.

    Raises:
        SourceError: There are such rows; nothing was tombstoned.
    """
    if difference.missing:
        raise SourceError(
            f"{difference.missing:,} rows of {table.spec.origin} are still not "
            "in raw after all rows were read, so nothing is certain about this table",
            "this should be impossible: please report it, with the table's definition",
        )


def is_wanted_sql(table: SourceTable) -> str:
    """SQL condition of the rows that are to be in raw."""
    cursor = table.cursor
    excludes = cursor and cursor.nullable and table.spec.null_cursor == "exclude"
    return f"{column_sql(cursor)} is not null" if cursor and excludes else "true"


def _check_keys(history: History) -> None:
    """Re-read all landed keys against their checksums, which DuckDB does not look at."""
    columns = [*history.table.key_names, "_op"]
    for path in history.infos():
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for _ in file.iter_batches(columns=columns):
                    pass
        except (pa.ArrowException, OSError) as error:
            raise RawFileError(path, str(error).splitlines()[0]) from error


def _store_keys(
    engine: "duckdb.DuckDBPyConnection", table: SourceTable, batches: Iterable[pa.RecordBatch]
) -> None:
    # Batch by batch, so that a broken connection is not wrapped into an error of DuckDB.
    fields = zip(numbered(table.key), (column.type.arrow for column in table.key), strict=True)
    schema = pa.schema([*fields, ("wanted", pa.bool_())])
    engine.register("incoming", schema.empty_table())
    engine.execute("create or replace temp table source_keys as select * from incoming")
    for batch in batches:
        columns = [*converted(table.key, batch), batch.column(len(table.key))]
        engine.register("incoming", pa.Table.from_arrays(columns, schema=schema))
        engine.execute("insert into source_keys select * from incoming")
    engine.unregister("incoming")


def _live(history: History, files: Sequence[Path]) -> str:
    """SQL of the live keys; only keys that ever had a tombstone need their latest version."""
    key = ", ".join(numbered(history.table.key))
    scan = history.scan(files, history.table.key_names)
    with_tombstones = [path for path in files if history.infos()[path].deletes]
    if not with_tombstones:
        return f"select distinct {key} from ({scan})"
    buried = history.scan(with_tombstones, history.table.key_names)
    return f"""
        select distinct {key} from ({scan}) anti join (
            select {key} from ({scan})
            semi join (select {key} from ({buried}) where op = {literal(DELETE)}) using ({key})
            group by {key} having arg_max(op, batch) = {literal(DELETE)}
        ) using ({key})
    """
