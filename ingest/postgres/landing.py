"""Writing what was read: new rows into a commit, a footer that says how far the table is then.

Here belongs the way of rows from a stream into one commit with bounded memory. Here does not belong
what to read next.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.postgres.catalog import SourceTable
from ingest.postgres.history import History
from ingest.postgres.overlap import KnownBlocks
from ingest.postgres.queries import position_of, with_batch_id
from ingest.postgres.report import Tally
from ingest.postgres.state import FOLLOWS, Position, TableState, log_digest
from lakehouse import __version__
from lakehouse.raw import CommitInfo, CommitWriter, RawTable, new_batch_id

WRITER = f"ingest.postgres/{__version__}"

_BLOCK_ROWS = 122_880  # DuckDB's row group, which raw files use too
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a commit's footer says about the state of the table, if the commit is written.

    Attributes:
        kind: See ``CommitInfo``.
        watermark: The watermark after the commit.
        resume_position: Footer form of where an unfinished load goes on; None if it is finished.
        details: For the footer's details.
    """

    kind: str
    watermark: str | None
    resume_position: dict[str, str] | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The rows of one query, cut to a size.

    Attributes:
        rows: What the query gave, as ``as_raw`` makes it.
        limit: Most rows to land; one row more tells that there are more. None means no limit.
        files: Finds the commits in which a landed version of a row can be.
    """

    rows: Iterable[pa.Table]
    limit: int | None
    files: Callable[[], list[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which footer a chunk gets when it is the last one, and when it is not.

    Attributes:
        has_cursor: Whether the rows have a cursor and come in its order.
        last: The seal of the last chunk.
        more: Makes the seal of another one from its last row's position.
    """

    has_cursor: bool
    last: Seal
    more: Callable[[Position], Seal] | None = None

    def seal(self, position: Position | None) -> Seal:
        """The seal of a chunk; the position is None for the last one."""
        if position is None or self.more is None:
            return self.last
        return self.more(position)


class Landing:
    """Appends commits to one table, each saying on which commits it stands.

    Args:
        table: The source table.
        raw: Its raw layer.
        history: What is landed.
        known: Blocks of rows that need not be compared.
        state: The state from which this run goes on.
        read_at: When the rows were seen (UTC): the clock of the snapshot.
        tally: Where commits are counted.
    """

    def __init__(
        self,
        table: SourceTable,
        raw: RawTable,
        history: History,
        known: KnownBlocks,
        state: TableState,
        *,
        read_at: datetime,
        tally: Tally,
    ) -> None:
        self._table = table
        self._raw = raw
        self._history = history
        self._known = known
        self.read_at = read_at
        self.upserted = 0
        self._tally = tally
        self._batch_ids = [path.stem for path in raw.commits()]
        self.watermark = state.watermark
        self.resume_position = state.resume_position

    @property
    def digest(self) -> str:
        """``log_digest`` of all commits, those of this run included."""
        return log_digest(self._batch_ids)

    @property
    def commits(self) -> int:
        """How many commits there are, those of this run included."""
        return len(self._batch_ids)

    def upserts(self, chunk: Chunk, cut: Cut) -> tuple[int, Position | None]:
        """Land the new ones among the rows of a chunk, if any, as one commit.

        Args:
            chunk: The rows.
            cut: Decides about the footer once it is known whether there are more rows.

        Returns:
            How many rows were read, and the last one's position if there are more.
        """
        reading = _Reading(chunk)
        first = last = None
        nulls = 0
        with ExitStack() as stack:
            writer: CommitWriter | None = None
            for block in reading.blocks():
                if self._known.recognizes(block):
                    continue
                fresh = self._history.keep_new(block, chunk.files())
                if not fresh.num_rows:
                    continue
                writer = writer or self._open(stack)
                writer.write(with_batch_id(fresh, self._batch_ids[-1], self._table.schema))
                if cut.has_cursor:
                    first = first or position_of(self._table, fresh, 0).cursor
                    last = position_of(self._table, fresh, fresh.num_rows - 1).cursor
                else:
                    nulls += fresh.num_rows
            position = reading.last_position(self._table) if reading.more else None
            if writer is not None:
                seal = cut.seal(position)
                details = {**seal.details, "null_cursors": nulls, "rows_read": reading.count}
                self._commit(writer, seal, details, writer.rows, 0, (first, last))
        return reading.count, position

    def tombstones(self, blocks: Iterable[pa.Table], seal: Seal) -> None:
        """Land tombstones as one commit."""
        with ExitStack() as stack:
            writer = self._open(stack)
            for block in blocks:
                writer.write(with_batch_id(block, self._batch_ids[-1], self._table.schema))
            self._commit(writer, seal, seal.details, 0, writer.rows, (None, None))

    def _open(self, stack: ExitStack) -> CommitWriter:
        batch_id = new_batch_id(self._batch_ids[-1] if self._batch_ids else None)
        writer = stack.enter_context(CommitWriter(self._raw, self._table.schema, batch_id))
        self._batch_ids.append(batch_id)
        return writer

    def _commit(
        self,
        writer: CommitWriter,
        seal: Seal,
        details: dict[str, Any],
        upserts: int,
        deletes: int,
        cursors: tuple[str | None, str | None],
    ) -> CommitInfo:
        info = writer.commit(
            kind=seal.kind,
            writer=WRITER,
            extracted_at=self.read_at,
            upserts=upserts,
            deletes=deletes,
            watermark_before=self.watermark,
            watermark_after=seal.watermark,
            resume_position=seal.resume_position,
            cursor_min=cursors[0],
            cursor_max=cursors[1],
            details={
                **details,
                FOLLOWS: log_digest(self._batch_ids[:-1]),
                "source_types": self._table.source_types,
            },
        )
        self.watermark, self.resume_position = seal.watermark, seal.resume_position
        self.upserted += upserts
        self._tally.add(info)
        return info


class _Reading:
    """Cuts a stream to the chunk's limit and to blocks of a row group."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._last: pa.Table | None = None
        self.count = 0
        self.more = False

    def blocks(self) -> Iterator[pa.Table]:
        waiting: list[pa.Table] = []
        for rows in one_ahead(iter(self._chunk.rows)):
            waiting.append(self._cut(rows))
            while sum(t.num_rows for t in waiting) >= _BLOCK_ROWS or (
                sum(t.nbytes for t in waiting) >= _BLOCK_BYTES
            ):
                joined = pa.concat_tables(waiting)
                yield joined.slice(0, _BLOCK_ROWS)
                waiting = [joined.slice(_BLOCK_ROWS)]
        if any(t.num_rows for t in waiting):
            yield pa.concat_tables(waiting)

    def last_position(self, table: SourceTable) -> Position:
        """Where the last row within the limit stands."""
        if self._last is None:
            raise ValueError("a chunk without rows has no last one")
        return position_of(table, self._last, self._last.num_rows - 1)

    def _cut(self, rows: pa.Table) -> pa.Table:
        limit = self._chunk.limit
        if limit is not None and self.count + rows.num_rows > limit:
            self.more = True
            rows = rows.slice(0, limit - self.count)
        self.count += rows.num_rows
        if rows.num_rows:
            self._last = rows
        return rows


def one_ahead(items: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the items while the next one is made in another thread: reading beside writing."""
    with ThreadPoolExecutor(1, thread_name_prefix="lake-read") as reader:
        following = reader.submit(next, items, None)
        while (item := following.result()) is not None:
            following = reader.submit(next, items, None)
            yield item
