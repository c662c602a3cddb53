"""A run over tables: locks, one snapshot for all of them, and trying again when it breaks.

All tables of a run are read in one snapshot, so that no child row arrives without its parent. When
the connection breaks, the table goes on from its last commit in a new snapshot.

Here belongs what holds for a run. What happens to one table is in ``table_run``.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo.postgres.embedded import source_dsn
from ingest.postgres.connection import Connection
from ingest.postgres.errors import ConnectionLostError, SourceError
from ingest.postgres.report import ExtractionError, ExtractReport, Stopwatch, Tally
from ingest.postgres.steps import RunOptions
from ingest.postgres.table_run import TableRun
from ingest.postgres.watermark import read_server_bound
from ingest.sources import TableSpec, load_sources, select_tables
from lakehouse.errors import LakeError
from lakehouse.locks import file_lock
from lakehouse.settings import Settings

DEFAULT_CHUNK_ROWS = 250_000
_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def extract_tables(
    settings: Settings,
    tables: Sequence[str] | None = None,
    *,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    allow_deletes: bool = False,
    full: bool = False,
    specs: Sequence[TableSpec] | None = None,
) -> list[ExtractReport]:
    """Land what changed in the source since the last run.

    Args:
        settings: Where raw is and which database to read.
        tables: Names of tables; None or nothing means all of them.
        chunk_rows: Most rows in one commit of a read that has more.
        allow_deletes: Tombstone whatever is gone from the source, however much it is.
        full: Read everything and land what differs from raw.
        specs: The list of tables; ``ingest/sources.yml`` if None.

    Returns:
        One report a table, in the order of the list.

    Raises:
        LockHeldError: Another extraction of one of the tables is running.
        ExtractionError: At least one table was not finished; carries all reports.
        LakeError: Nothing could be extracted at all.
    """
    chosen = select_tables(load_sources() if specs is None else specs, tables)
    options = RunOptions(chunk_rows=chunk_rows, allow_deletes=allow_deletes, full=full)
    tallies = [Tally(spec) for spec in chosen]
    # Locked before the snapshot: otherwise rows of an old snapshot could land after newer ones.
    with _locked(settings, chosen), source_dsn(settings) as dsn:
        _extract_all(settings, dsn, options, tallies)
    reports = [tally.report() for tally in tallies]
    if errors := [tally.error for tally in tallies if tally.error]:
        raise ExtractionError(errors, reports)
    return reports


def _extract_all(
    settings: Settings, dsn: str, options: RunOptions, tallies: Sequence[Tally]
) -> None:
    remaining = list(tallies)
    failures = 0
    while remaining:
        landed = _landed(tallies)
        try:
            _one_snapshot(settings, dsn, options, remaining)
        except (ConnectionLostError, _NoConnectionError) as error:
            failures = 1 if _landed(tallies) > landed else failures + 1
            if isinstance(error, _NoConnectionError) and not any(t.started for t in tallies):
                raise error.cause_ from error
            if failures >= _ATTEMPTS:
                raise _gave_up(remaining[0], error) from error
            _log.warning("%s; going on after the last commit", error)
            time.sleep(_PAUSE_SECONDS * failures)


def _one_snapshot(
    settings: Settings, dsn: str, options: RunOptions, remaining: list[Tally]
) -> None:
    """Extract the tables in order, taking each finished or failed one off the list."""
    with _connected(dsn) as connection:
        server = read_server_bound(connection)
        connection.begin_snapshot()
        while remaining:
            tally = remaining[0]
            with Stopwatch(tally):
                try:
                    TableRun(settings, connection, server, options, tally).run()
                except ConnectionLostError:
                    raise
                except LakeError as error:
                    tally.error = error
            remaining.pop(0)
            if tally.error is not None:
                # The failed statement may have ended the transaction: the others get a new one.
                return


class _NoConnectionError(Exception):
    """Wraps the error of connecting, to tell it from an error of reading."""

    def __init__(self, cause: SourceError) -> None:
        self.cause_ = cause
        super().__init__(cause.cause)


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    connection = Connection(dsn)
    try:
        connection.__enter__()
    except SourceError as error:
        raise _NoConnectionError(error) from error
    with ExitStack() as stack:
        stack.callback(connection.close)
        yield connection


@contextmanager
def _locked(settings: Settings, specs: Sequence[TableSpec]) -> Iterator[None]:
    with ExitStack() as stack:
        for spec in sorted(specs, key=lambda spec: spec.label):
            path = lock_path(settings, spec)
            purpose = f"lake extract {spec.label}"
            stack.enter_context(file_lock(path, purpose=purpose, wait=False))
        yield


def lock_path(settings: Settings, spec: TableSpec) -> Path:
    """The lock that whoever appends to a table's raw commits holds."""
    return settings.state_dir / "locks" / f"extract.{spec.label}.lock"


def _landed(tallies: Sequence[Tally]) -> int:
    return sum(len(tally.batches) for tally in tallies)


def _gave_up(tally: Tally, error: Exception) -> SourceError:
    reason = error.cause if isinstance(error, LakeError) else str(error)
    return SourceError(
        f"the connection broke {_ATTEMPTS} times in a row while reading {tally.spec.label} "
        f"({reason}); {tally.upserts:,} rows of it were landed in this run and stay",
        f"look at the server's log and the network, then run `lake extract {tally.spec.name}`: it "
        "goes on where it stopped",
    )
