"""The steps of one table: land its rows, land its tombstones, write the checkpoint.

Here belongs what is read, in which order, and what each commit says about the state. Here does not
belong finding out about the table (``table_run``) or the way of rows into a file (``landing``).
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from ingest.postgres.catalog import SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.deletes import KeyDifference, compare_keys, refuse_too_many
from ingest.postgres.history import History
from ingest.postgres.landing import Chunk, Cut, Landing, Seal
from ingest.postgres.live_rows import LiveRows
from ingest.postgres.overlap import KnownBlocks, reaches
from ingest.postgres.queries import (
    as_raw,
    as_tombstones,
    chunk_query,
    from_footer,
    nulls_query,
    to_footer,
)
from ingest.postgres.report import Tally
from ingest.postgres.state import (
    LOAD_WATERMARK,
    SOURCE_IDENTITY,
    Checkpoint,
    CheckpointFile,
    Position,
    TableState,
)
from ingest.postgres.watermark import ReadBounds
from lakehouse.progress import Advance, progress
from lakehouse.raw import CommitInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run was asked for.

    Attributes:
        chunk_rows: Most rows in one commit of a read that has more.
        allow_deletes: Tombstone whatever is gone, however much it is.
        full: Read everything and land what differs from raw.
    """

    chunk_rows: int
    allow_deletes: bool
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSteps:
    """The steps of one table once everything about it is known."""

    connection: Connection
    options: RunOptions
    tally: Tally
    checkpoint: CheckpointFile
    table: SourceTable
    history: History
    known: KnownBlocks
    live: LiveRows
    state: TableState
    bounds: ReadBounds
    landing: Landing

    def land_rows(self, *, full: bool = False) -> None:
        """Land what the source has and raw has not, from the lower bound on."""
        full = full or self.options.full
        is_first = self.landing.watermark is None
        start = None if full else self._start()
        files = cache(partial(self._files_from, start))
        with self._progress(shown=is_first or full) as shown:
            while True:
                query = chunk_query(self.table, start, self.options.chunk_rows + 1)
                cut = Cut(
                    has_cursor=True,
                    last=self._finished("snapshot" if is_first else "incremental"),
                    more=self._unchanged if full and not is_first else self._unfinished,
                )
                start = self._land(query, files, cut, shown, self.options.chunk_rows)
                if start is None:
                    break
            if self.bounds.nulls and self.table.spec.null_cursor == "include":
                cut = Cut(has_cursor=False, last=self._finished("incremental"))
                self._land(nulls_query(self.table), self._files_with_nulls, cut, shown, None)
        if self.state.commits == 0 and not full:
            # All from one snapshot, in which a key is unique.
            self.live.know(self.landing.upserted)

    def land_deletes(self) -> None:
        """Land tombstones for what is gone; land first what should be there and is not."""
        difference = self._compare_keys()
        if difference.gone or difference.missing:
            self.history.check_keys()
        if difference.missing:
            self.tally.warn(
                f"{difference.missing:,} rows of the source were not in raw, their "
                f"{self.table.cursor.name} being older than what is read: landed by a full read"
            )
            self.land_rows(full=True)
            difference = self._compare_keys()
        if not difference.gone:
            return
        if not self.options.allow_deletes:
            refuse_too_many(self.table, difference)
        read_at = self.landing.read_at
        blocks = (as_tombstones(self.table, k, read_at) for k in self.history.gone_keys())
        self.landing.tombstones(blocks, self._finished("tombstones"))

    def write_checkpoint(self) -> None:
        """Write down what the footers say, for people and for the next run's speed."""
        live = self.live.count() if self.table.spec.deletes == "reconcile" else None
        self.checkpoint.write(
            Checkpoint(
                digest=self.landing.digest,
                watermark=self.landing.watermark,
                resume_position=self.landing.resume_position,
                commits=self.landing.commits,
                live_rows=live,
                source_identity=self.table.identity,
                landed_blocks=self.known.landed(),
            )
        )

    def _compare_keys(self) -> KeyDifference:
        return compare_keys(self.connection, self.table, self.history, self.live.count())

    def _start(self) -> str | Position | None:
        position = self.state.resume_position
        if position and self.bounds.after_position:
            return from_footer(self.table, position)
        return self.bounds.lower

    def _land(
        self,
        query: str,
        files: Callable[[], list[Path]],
        cut: Cut,
        shown: Advance,
        limit: int | None,
    ) -> Position | None:
        # Closed here and not whenever: the stream must end before its connection does.
        with (
            closing(self.connection.stream(query)) as batches,
            closing(as_raw(self.table, batches, self.landing.read_at)) as rows,
        ):
            count, position = self.landing.upserts(Chunk(rows=rows, limit=limit, files=files), cut)
        self.tally.rows_read += count
        shown.advance(count)
        return position

    def _finished(self, kind: str) -> Seal:
        return Seal(
            kind=kind,
            watermark=self.bounds.watermark,
            resume_position=None,
            details=self._details(),
        )

    def _unfinished(self, position: Position) -> Seal:
        return Seal(
            kind="chunk",
            watermark=self.landing.watermark,
            resume_position=to_footer(self.table, position),
            details={**self._details(), LOAD_WATERMARK: self.bounds.watermark},
        )

    def _unchanged(self, _position: Position) -> Seal:
        """A full read beside the watermark: it proves nothing before its end."""
        return Seal(
            kind="chunk",
            watermark=self.landing.watermark,
            resume_position=self.landing.resume_position,
            details={
                **self._details(),
                LOAD_WATERMARK: self.state.load_watermark,
                SOURCE_IDENTITY: self.state.last and self.state.last.details.get(SOURCE_IDENTITY),
            },
        )

    def _details(self) -> dict[str, Any]:
        return {
            "guarantee": self.bounds.guarantee,
            "lookback": str(self.table.spec.lookback),
            SOURCE_IDENTITY: self.table.identity,
        }

    def _files_from(self, start: str | Position | None) -> list[Path]:
        """The commits in which the latest version of a row from ``start`` on can be."""
        infos = self.history.infos()
        places = (
            p for p, i in enumerate(infos.values()) if start is None or reaches(i.cursor_max, start)
        )
        return _from_place(infos, next(places, None))

    def _files_with_nulls(self) -> list[Path]:
        infos = self.history.infos()
        places = (
            place
            for place, info in enumerate(infos.values())
            if info.details.get("null_cursors", 1)
        )
        return _from_place(infos, next(places, None))

    @contextmanager
    def _progress(self, *, shown: bool) -> Iterator[Advance]:
        if not shown:
            yield _Unseen()
            return
        with progress(self.table.spec.label, self.table.rows_estimate) as bar:
            yield bar


class _Unseen:
    def advance(self, count: int) -> None:
        pass


def _from_place(infos: dict[Path, CommitInfo], place: int | None) -> list[Path]:
    """The commits from a place on: a later one may hold a newer version."""
    return [] if place is None else list(infos)[place:]
