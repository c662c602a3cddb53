"""A raw table of small commits at chosen times, and what a reader sees of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.raw import CommitWriter, RawTable, raw_schema, raw_tables
from lakehouse.raw.chain import FOLLOWS, PREVIOUS, prefix_digest
from lakehouse.raw.compact import compact

SCHEMA = raw_schema(pa.schema([("id", pa.int64()), ("ratio", pa.float64())]))
WIDER = raw_schema(pa.schema([("id", pa.int64()), ("ratio", pa.float64()), ("note", pa.string())]))
TODAY = datetime(2026, 3, 10, 12, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)


def land(
    table: RawTable,
    at: datetime,
    ids: Sequence[int] = (1,),
    *,
    schema: pa.Schema = SCHEMA,
    deletes: int = 0,
    details: dict[str, Any] | None = None,
) -> str:
    """Land one commit of a watermark table.

    Args:
        table: The table.
        at: The time in its name.
        ids: One row for each; the last ``deletes`` of them are tombstones.
        schema: The file's schema.
        deletes: How many tombstones there are.
        details: Instead of those that link it to the commits before it.

    Returns:
        Its batch id.
    """
    batch_id = f"{at:%Y%m%dT%H%M%S%f}Z-{len(ids):06x}"
    before = [each for each in table.batch_ids() if each < batch_id]
    last = table.read(table.path_of(before[-1])) if before else None
    n = len(ids)
    columns: dict[str, list[Any]] = {
        "id": list(ids),
        "ratio": [float("nan") if id_ % 3 == 0 else id_ / 7 for id_ in ids],
        "note": ["" if id_ % 2 else None for id_ in ids],
        "_batch_id": [batch_id] * n,
        "_op": ["upsert"] * (n - deletes) + ["delete"] * deletes,
        "_extracted_at": [at] * n,
        "_unrepresentable": [None] * n,
    }
    with CommitWriter(table, schema, batch_id) as writer:
        writer.write(pa.table([pa.array(columns[f.name], f.type) for f in schema], schema))
        writer.commit(
            kind="incremental",
            writer="test/1",
            extracted_at=at,
            upserts=n - deletes,
            deletes=deletes,
            watermark_before=last.watermark_after if last else None,
            watermark_after=f"{at:%Y-%m-%d %H:%M:%S}+00",
            details=details
            or {FOLLOWS: prefix_digest(before), PREVIOUS: before[-1] if before else None},
        )
    return batch_id


def land_many(table: RawTable, since: datetime, count: int) -> list[str]:
    """Land commits of one row, one a minute."""
    return [land(table, since + timedelta(minutes=n), [n]) for n in range(count)]


def picture(table: RawTable) -> tuple[list[bytes], list[tuple[Any, ...]]]:
    """All that a reader can know of a table: each commit's footer and every row, in order."""
    return [info.to_json() for info in table.infos()], rows(table, table.batch_ids())


def rows(table: RawTable, batch_ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of these commits, as a reader gets them from the files that he is told to open."""
    found: list[tuple[Any, ...]] = []
    with duckdb.connect() as db:
        for part in table.slices(batch_ids):
            where = "" if part.is_whole else " where list_contains($ids, _batch_id)"
            found += db.execute(
                "select _batch_id, _op, _extracted_at::varchar, id, ratio::varchar"
                f" from read_parquet($path){where}",
                {"path": str(part.path)} | ({} if part.is_whole else {"ids": [*part.batch_ids]}),
            ).fetchall()
    return sorted(found, key=repr)


def compact_everything(raw_dir: Path, *, keep_replaced: bool = True) -> None:
    """Compact every table as if today were over, so that files hold what was read and what not."""
    for table in raw_tables(raw_dir):
        compact(table, now=datetime.now(UTC) + timedelta(days=1))
        if not keep_replaced:
            compact(table, grace=timedelta(seconds=-1))


def flip_a_bit(path: Path) -> bytes:
    """Damage the last byte of a file's first column as a disk would; gives its bytes then."""
    column = pq.read_metadata(path).row_group(0).column(0)
    first = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[first + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    return bytes(content)


def data_files(table: RawTable) -> list[Path]:
    """Every file that a reader's pattern matches."""
    return sorted(table.directory.glob("load_date=*/*.parquet"))
