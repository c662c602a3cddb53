"""One table in one snapshot: find out how it is and where it stands, then take the steps.

Here belongs putting together what is known about the table and saying what a person should know.
Here does not belong connecting, locking or trying again: that is ``extraction``.
"""

from dataclasses import replace

from ingest.postgres.catalog import SourceTable, read_table
from ingest.postgres.connection import Connection
from ingest.postgres.drift import check_drift
from ingest.postgres.errors import SourceError
from ingest.postgres.history import History
from ingest.postgres.landing import Landing
from ingest.postgres.live_rows import LiveRows
from ingest.postgres.overlap import KnownBlocks
from ingest.postgres.report import Tally
from ingest.postgres.state import (
    SOURCE_IDENTITY,
    Checkpoint,
    CheckpointFile,
    TableState,
    derive_state,
)
from ingest.postgres.steps import RunOptions, TableSteps
from ingest.postgres.watermark import ReadBounds, ServerBound, read_bounds
from lakehouse.raw import RawTable, remove_orphans
from lakehouse.settings import Settings


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
            checkpoint = CheckpointFile(self._settings.state_dir, self._spec)
            remembered = checkpoint.read(state.digest)
            known = KnownBlocks(remembered, state)
            options = self._options
            if self._is_remade(table, state, remembered):
                options = replace(options, full=True)
            bounds = read_bounds(self._connection, table, state, self._server, full=options.full)
            self._note(table, state, bounds)
            # Readers order versions by this time: it must not go back when the server's clock does.
            earliest = state.last.extracted_at if state.last else self._server.read_at
            landing = Landing(
                table,
                self._raw,
                history,
                known,
                state,
                read_at=max(self._server.read_at, earliest),
                tally=self._tally,
            )
            steps = TableSteps(
                connection=self._connection,
                options=options,
                tally=self._tally,
                checkpoint=checkpoint,
                table=table,
                history=history,
                known=known,
                live=LiveRows(history, remembered),
                state=state,
                bounds=bounds,
                landing=landing,
            )
            steps.land_rows()
            if self._spec.deletes == "reconcile":
                steps.land_deletes()
            steps.write_checkpoint()

    def _is_remade(
        self, table: SourceTable, state: TableState, remembered: Checkpoint | None
    ) -> bool:
        """Whether the table was made again since the last run: old cursors prove nothing then."""
        landed = state.last.details.get(SOURCE_IDENTITY) if state.last else None
        before = remembered.source_identity if remembered else landed
        if before in (None, table.identity):
            return False
        self._tally.warn(
            "the table was dropped, truncated or rewritten at the source since the last run: "
            "all of it is read again"
        )
        return True

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
