"""Hard deletes: keys that are live in raw and gone from the source become tombstones.

Every row that the snapshot shows has been landed, so the live keys contain the source's. Then equal
counts mean equal keys, and only unequal ones make it necessary to read all keys.

Here belong counting live keys, the comparison, and the guard against deleting too much. Here does
not belong writing tombstones (``commit``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.postgres.catalog import SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.known import History
from ingest.postgres.read import DELETE, converted, expression
from ingest.postgres.report import DeletesRefusedError
from ingest.postgres.types import identifier, literal, names
from lakehouse.raw import RawFileError

if TYPE_CHECKING:
    import duckdb

ALWAYS_ALLOWED = 10
"""So many rows may disappear whatever their share: five of a table of eight are no accident."""

_TOMBSTONE_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class LiveRows:
    """How many keys have a latest version that is no tombstone, and in which commits."""

    count: int = 0
    batch_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDifference:
    """How the live keys in raw and the keys in the source differ.

    Attributes:
        live: Live keys in raw.
        in_source: Rows in the source.
        gone: Live keys that the source does not have.
        missing: Keys of the source that are not live: their rows were never landed, because
            their cursor lies below what is read, or were tombstoned and came back unchanged.
    """

    live: LiveRows
    in_source: int
    gone: int = 0
    missing: int = 0


def count_live(history: History, before: LiveRows) -> LiveRows:
    """Count the live keys, looking only at those in the commits since an earlier count.

    Counting all keys of a large table takes seconds.

    Raises:
        RawFileError: A commit on which the answer depends is damaged.
    """
    if before.batch_ids.issuperset(history.raw.batch_ids()):
        return before
    files = history.raw.commits()
    new = [path for path in files if path.stem not in before.batch_ids]
    old = [path for path in files if path.stem in before.batch_ids]
    key = history.table.key_names
    if not old:
        sql = f"select count(*), 0 from ({_live(history, new)})"
    else:
        touched = f"select {names(key)} from ({history.scan(new, key)})"
        sql = f"""
            select
                (select count(*) from ({_live(history, new)})),
                (select count(*) from ({_live(history, old, among=touched)}))
        """
    with history.asked(files) as engine:
        ((now, then),) = engine.execute(sql).fetchall()
    count = before.count + int(now) - int(then)
    return LiveRows(count, frozenset(path.stem for path in files))


def compare_keys(connection: Connection, history: History, before: LiveRows) -> KeyDifference:
    """Compare keys; must run in the snapshot, after all its rows are landed.

    What differs stays loaded for ``gone_keys``.

    Args:
        connection: In the snapshot.
        history: What is landed, this run's commits included.
        before: The live keys in raw at an earlier commit.

    Raises:
        RawFileError: A commit is damaged; what looks deleted may only be unreadable.
    """
    table = history.table
    live = count_live(history, before)
    in_source = int(connection.row(_count_query(table))["rows"])
    if in_source == live.count:
        return KeyDifference(live=live, in_source=in_source)
    keys = f"select {', '.join(map(expression, table.key))} from {table.sql_name}"
    gone, missing = _load_keys(history, connection.stream(keys))
    if gone or missing:
        _check_keys(history)
    return KeyDifference(live=live, in_source=in_source, gone=gone, missing=missing)


def gone_keys(history: History) -> Iterator[pa.Table]:
    """The keys that ``compare_keys`` found gone, in blocks."""
    key = names(history.table.key_names)
    with history.asked(()) as engine:
        reader: Any = engine.sql(
            f"select {key} from live_keys anti join source_keys using ({key}) order by {key}"
        ).to_arrow_reader(_TOMBSTONE_ROWS)
        for batch in reader:
            yield pa.Table.from_batches([batch])


def refuse_too_many(table: SourceTable, difference: KeyDifference) -> None:
    """Stop before tombstones that look like an accident.

    Raises:
        DeletesRefusedError: The source is empty, or too large a share of the rows is gone.
    """
    gone, live, limit = difference.gone, difference.live.count, table.spec.max_delete_share
    name = f"{table.spec.schema}.{table.spec.name}"
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


def _count_query(table: SourceTable) -> str:
    """Count the rows that are to be in raw."""
    where = f" where {identifier(table.cursor.name)} is not null"
    excludes = table.spec.null_cursor == "exclude" and table.cursor.nullable
    return f"select count(*) as rows from {table.sql_name}{where if excludes else ''}"


def _load_keys(history: History, batches: Iterable[pa.RecordBatch]) -> tuple[int, int]:
    """Load the source's keys and the live ones: how many are gone, and how many are missing."""
    files = list(history.infos())
    key = names(history.table.key_names)
    with history.asked(files) as engine:
        _store_keys(engine, history.table, batches)
        live = _live(history, files) if files else f"select {key} from source_keys where false"
        engine.execute(f"create or replace temp table live_keys as {live}")
        ((gone, missing),) = engine.execute(
            f"""
            select
                (select count(*) from live_keys anti join source_keys using ({key})),
                (select count(*) from source_keys anti join live_keys using ({key}))
            """
        ).fetchall()
    return int(gone), int(missing)


def _check_keys(history: History) -> None:
    """Re-read all landed keys against their checksums, which DuckDB does not look at."""
    columns = [*history.table.key_names, "_op"]
    for part in history.raw.slices(path.stem for path in history.infos()):
        path = part.path
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
    schema = pa.schema([(column.name, column.type.arrow) for column in table.key])
    engine.register("incoming", schema.empty_table())
    engine.execute("create or replace temp table source_keys as select * from incoming")
    for batch in batches:
        engine.register(
            "incoming", pa.Table.from_arrays(converted(table.key, batch), schema=schema)
        )
        engine.execute("insert into source_keys select * from incoming")
    engine.unregister("incoming")


def _live(history: History, files: Sequence[Path], among: str | None = None) -> str:
    """SQL of the live keys; only keys that ever had a tombstone need their latest version."""
    key = names(history.table.key_names)
    scan = history.scan(files, history.table.key_names)
    if among is not None:
        scan = f"select * from ({scan}) semi join ({among}) using ({key})"
    infos = history.infos()
    with_tombstones = [path for path in files if infos[path].deletes]
    if not with_tombstones:
        return f"select distinct {key} from ({scan})"
    buried = history.scan(with_tombstones, history.table.key_names)
    return f"""
        select distinct {key} from ({scan}) anti join (
            select {key} from ({scan})
            semi join (select {key} from ({buried}) where _op = {literal(DELETE)}) using ({key})
            group by {key} having arg_max(_op, _batch_id) = {literal(DELETE)}
        ) using ({key})
    """
