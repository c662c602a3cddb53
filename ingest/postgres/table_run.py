"""One table in one snapshot: read what may be new, land it, look for deleted rows.

Here belongs the order of these steps and what each commit says about the state. Here does not
belong connecting, locking or trying again: that is ``extraction``.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.postgres.catalog import SourceTable, read_table
from ingest.postgres.connection import Connection
from ingest.postgres.deletes import KeyDifference, compare_keys, refuse_too_many
from ingest.postgres.drift import check_drift
from ingest.postgres.errors import SourceError
from ingest.postgres.history import History
from ingest.postgres.landing import Chunk, Cut, Landing, Seal
from ingest.postgres.queries import (
    as_raw,
    as_tombstones,
    chunk_query,
    from_footer,
    nulls_query,
    to_footer,
)
from ingest.postgres.report import Tally
from ingest.postgres.sql import literal, typed
from ingest.postgres.state import (
    LOAD_WATERMARK,
    Checkpoint,
    Position,
    TableState,
    checkpoint_path,
    derive_state,
)
from ingest.postgres.watermark import ReadBounds, ServerBound, read_bounds
from lakehouse.progress import Advance, progress
from lakehouse.raw import CommitInfo, RawTable, remove_orphans
from lakehouse.settings import Settings


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


class TableRun:
    """Extracts one table within the snapshot of a connection.

    Args:
        settings: Where raw and state are.
        connection: In the snapshot.
        server: What the server said just before the snapshot.
        options: What was asked for.
        tally: What happened so far; an earlier attempt may have landed chunks.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        server: ServerBound,
        options: RunOptions,
        tally: Tally,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._server = server
        self._options = options
        self._tally = tally
        self._spec = tally.spec
        self._raw = RawTable(settings.raw_dir, tally.spec.source, tally.spec.name)

    def run(self) -> None:
        """Do it.

        Raises:
            LakeError: The table cannot be extracted; what is committed stays.
        """
        remove_orphans(self._raw)
        table = read_table(self._connection, self._spec)
        scratch = self._settings.state_dir / "scratch"
        with History(table, self._raw, scratch) as history:
            state = derive_state(self._raw)
            self._tally.begin(state.watermark)
            for sentence in check_drift(table, state, history):
                self._tally.warn(sentence)
            bounds = read_bounds(
                self._connection, table, state, self._server, full=self._options.full
            )
            self._note(table, state, bounds)
            landing = Landing(
                table,
                self._raw,
                history,
                state,
                read_at=self._server.read_at,
                tally=self._tally,
            )
            steps = _Steps(self, table, history, state, bounds, landing)
            steps.land_rows()
            if self._spec.deletes == "reconcile":
                steps.land_deletes()
            steps.write_checkpoint()

    def _note(self, table: SourceTable, state: TableState, bounds: ReadBounds) -> None:
        tally, spec = self._tally, self._spec
        tally.guarantee = bounds.guarantee
        tally.null_cursors, tally.future_cursors = bounds.nulls, bounds.future
        if bounds.nulls and spec.null_cursor == "raise":
            raise SourceError(
                f"{bounds.nulls:,} rows of {spec.schema}.{spec.name} have no {spec.cursor}",
                "set it at the source, or choose `null_cursor: include` in ingest/sources.yml",
            )
        if bounds.nulls:
            done = "left out" if spec.null_cursor == "exclude" else "landed"
            tally.warn(f"{bounds.nulls:,} rows have no {spec.cursor}: {done}")
        if bounds.future:
            tally.warn(
                f"{bounds.future:,} rows have a {spec.cursor} in the future, up to "
                f"{bounds.future_example}: landed, and the watermark stays below them"
            )
        if not table.cursor_indexed:
            tally.warn(f"no index begins with {spec.cursor}: every run reads the whole table")
        if state.broken:
            tally.warn(
                "commits are missing in the middle: reading again from the watermark before them"
            )
        if self._server.held_by:
            tally.warn(f"the watermark is held back by {self._server.held_by}")


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps of one table once everything about it is known."""

    run: TableRun
    table: SourceTable
    history: History
    state: TableState
    bounds: ReadBounds
    landing: Landing

    def land_rows(self, *, full: bool = False) -> None:
        """Land what the source has and raw has not, from the lower bound on."""
        full = full or self.run._options.full
        is_first = self.landing.watermark is None
        start = None if full else self._start()
        files = self._files_from(start)
        with self._progress(shown=is_first or full) as shown:
            while True:
                query = chunk_query(self.table, start, self.run._options.chunk_rows + 1)
                cut = Cut(
                    has_cursor=True,
                    last=self._finished("snapshot" if is_first else "incremental"),
                    more=self._unchanged if full and not is_first else self._unfinished,
                )
                start = self._land(query, files, cut, shown, self.run._options.chunk_rows)
                if start is None:
                    break
            if self.bounds.nulls and self.run._spec.null_cursor == "include":
                cut = Cut(has_cursor=False, last=self._finished("incremental"))
                self._land(nulls_query(self.table), self._files_with_nulls(), cut, shown, None)

    def land_deletes(self) -> None:
        """Land tombstones for what is gone; land first what should be there and is not."""
        difference = self._compare_keys()
        if difference.missing:
            self.run._tally.warn(
                f"{difference.missing:,} rows of the source were not in raw, their "
                f"{self.table.cursor.name} being older than what is read: landed by a full read"
            )
            self.land_rows(full=True)
            difference = self._compare_keys()
        if not difference.gone:
            return
        if not self.run._options.allow_deletes:
            refuse_too_many(self.table, difference)
        read_at = self.run._server.read_at
        blocks = (as_tombstones(self.table, k, read_at) for k in self.history.gone_keys())
        self.landing.tombstones(blocks, self._finished("tombstones"))

    def write_checkpoint(self) -> None:
        """Write down what the footers say, for people and for the next run's speed."""
        live = self._live_rows() if self.run._spec.deletes == "reconcile" else None
        Checkpoint(
            digest=self.landing.digest,
            watermark=self.landing.watermark,
            resume_position=self.landing.resume_position,
            commits=self.landing.commits,
            live_rows=live,
        ).write(self._checkpoint_path())

    def _compare_keys(self) -> KeyDifference:
        live = self._live_rows()
        return compare_keys(self.run._connection, self.table, self.history, live)

    def _live_rows(self) -> int:
        known = Checkpoint.read(self._checkpoint_path())
        if known and known.digest == self.landing.digest and known.live_rows is not None:
            return known.live_rows
        return self.history.live_rows()

    def _checkpoint_path(self) -> Path:
        spec = self.run._spec
        return checkpoint_path(self.run._settings.state_dir, spec.source, spec.name)

    def _start(self) -> str | Position | None:
        position = self.state.resume_position
        if position and self.bounds.after_position:
            return from_footer(self.table, position)
        return self.bounds.lower

    def _land(
        self, query: str, files: list[Path], cut: Cut, shown: Advance, limit: int | None
    ) -> Position | None:
        # Closed here and not whenever: the stream must end before its connection does.
        with (
            closing(self.run._connection.stream(query)) as batches,
            closing(as_raw(self.table, batches, self.run._server.read_at)) as rows,
        ):
            count, position = self.landing.upserts(Chunk(rows=rows, limit=limit, files=files), cut)
        self.run._tally.rows_read += count
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
            details={**self._details(), LOAD_WATERMARK: self.state.load_watermark},
        )

    def _details(self) -> dict[str, Any]:
        return {"guarantee": self.bounds.guarantee, "lookback": str(self.run._spec.lookback)}

    def _files_from(self, start: str | Position | None) -> list[Path]:
        """The commits in which the latest version of a row from ``start`` on can be."""
        infos = self.history.infos()
        if start is None or not infos:
            return list(infos)
        lower = start.cursor if isinstance(start, Position) else start
        pg_type = self.table.cursor.cast_type
        texts = ", ".join(literal(i.cursor_max) if i.cursor_max else "null" for i in infos.values())
        found = self.run._connection.row(
            f"""
            select min(place) as place from unnest(array[{texts}]::text[]) with ordinality
                as commits(cursor_max, place)
            where cursor_max::{pg_type} >= {typed(lower, pg_type)}
            """
        )
        return _from_place(infos, found["place"])

    def _files_with_nulls(self) -> list[Path]:
        infos = self.history.infos()
        places = (p for p, i in enumerate(infos.values(), 1) if i.details.get("null_cursors", 1))
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
    """The commits from a place on (counted from 1): a later one may hold a newer version."""
    return [] if place is None else list(infos)[place - 1 :]
