"""A run over tables: locks, one snapshot for all of them, and trying again when it breaks.

All tables of a run are read in one snapshot, so that no child row arrives without its parent. When
the connection breaks, the table goes on from its last commit in a new snapshot.

Here belongs what holds for a run. What happens to one table is in ``table``.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ingest.postgres.connection import Connection
from ingest.postgres.identity import read_log_position
from ingest.postgres.reconcile import ROWS_A_RANGE
from ingest.postgres.report import (
    ConnectionLostError,
    ExtractionError,
    ExtractReport,
    RewrittenMeanwhileError,
    SourceError,
    UnreachableError,
)
from ingest.postgres.table import Options, extract_table
from ingest.postgres.watermark import read_server_bound
from ingest.sources import TableSpec
from lakehouse.errors import LakeError
from lakehouse.locks import file_lock
from lakehouse.settings import Settings

DEFAULT_CHUNK_ROWS = 250_000
_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def extract_tables(
    settings: Settings,
    dsn: str,
    tables: Sequence[TableSpec],
    *,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    allow_deletes: bool = False,
    full: bool = False,
    reconcile: bool = False,
    repair: bool = False,
    rows_a_range: int = ROWS_A_RANGE,
    only: str | None = None,
) -> list[ExtractReport]:
    """Land what changed in the source since the last run.

    Args:
        settings: Where raw is.
        dsn: The database to read.
        tables: The tables, in the order of extraction.
        chunk_rows: Most rows in one commit of a read that has more.
        allow_deletes: Tombstone whatever is gone from the source, however much it is.
        full: Read everything and land what differs from raw.
        reconcile: Compare counts and checksums of key ranges when all is landed.
        repair: Read the ranges again that differ.
        rows_a_range: About how many rows are one range.
        only: SQL condition; then the rows for which it holds are read again and nothing else.

    Returns:
        One report a table, in their order.

    Raises:
        LockHeldError: Another extraction of one of the tables is running.
        ExtractionError: At least one table was not finished; carries all reports.
        LakeError: Nothing could be extracted at all.
    """
    options = Options(
        chunk_rows=chunk_rows,
        allow_deletes=allow_deletes,
        full=full,
        reconcile=reconcile,
        repair=repair,
        rows_a_range=rows_a_range,
        only=only,
    )
    reports = [ExtractReport(source=spec.source, table=spec.name) for spec in tables]
    waiting = list(zip(tables, reports, strict=True))
    errors: list[LakeError] = []
    # Locked before the snapshot: otherwise rows of an old snapshot could land after newer ones.
    with _locked(settings, tables):
        failures, was_connected = 0, False
        while waiting:
            landed = _commits(reports)
            try:
                with Connection(dsn) as connection:
                    was_connected = True
                    if failed := _one_snapshot(settings, connection, options, waiting):
                        errors.append(failed)
            except RewrittenMeanwhileError as error:
                failures += 1
                if failures >= _ATTEMPTS:
                    _, report = waiting.pop(0)
                    report.error, failures = str(error), 0
                    errors.append(error)
            except (ConnectionLostError, UnreachableError) as error:
                if not was_connected:
                    raise
                failures = 1 if _commits(reports) > landed else failures + 1
                if failures >= _ATTEMPTS:
                    raise _gave_up(*waiting[0], error) from error
                _log.warning("%s; going on after the last commit", error)
                time.sleep(_PAUSE_SECONDS * failures)
    if errors:
        raise ExtractionError(errors, reports)
    return reports


def lock_path(settings: Settings, spec: TableSpec) -> Path:
    """The lock that whoever appends to a table's raw commits holds.

    It lies beside the raw layer, which two checkouts may share, and not in one checkout's state.
    """
    return settings.raw_locks_dir / f"extract.{spec.label}.lock"


def _one_snapshot(
    settings: Settings,
    connection: Connection,
    options: Options,
    waiting: list[tuple[TableSpec, ExtractReport]],
) -> LakeError | None:
    """Extract the tables in order, taking each finished or failed one off the list.

    Returns:
        Why a table failed. That may have ended the transaction, so the tables after it stay on the
        list for another snapshot.
    """
    server = read_server_bound(connection, [spec for spec, _ in waiting])
    connection.begin_snapshot()
    server = replace(server, mark=read_log_position(connection, server.mark))
    failed: LakeError | None = None
    while waiting and failed is None:
        spec, report = waiting[0]
        started = time.monotonic()
        try:
            extract_table(settings, connection, server, spec, options, report)
        except (ConnectionLostError, RewrittenMeanwhileError):
            raise  # the table stays on the list
        except LakeError as error:
            failed, report.error = error, str(error)
        finally:
            report.seconds = round(report.seconds + time.monotonic() - started, 3)
        waiting.pop(0)
    return failed


@contextmanager
def _locked(settings: Settings, specs: Sequence[TableSpec]) -> Iterator[None]:
    with ExitStack() as stack:
        for spec in sorted(specs, key=lambda spec: spec.label):
            path = lock_path(settings, spec)
            purpose = f"lake extract {spec.label}"
            stack.enter_context(file_lock(path, purpose=purpose, wait=False))
        yield


def _commits(reports: Sequence[ExtractReport]) -> int:
    return sum(len(report.batches) for report in reports)


def _gave_up(spec: TableSpec, report: ExtractReport, error: SourceError) -> SourceError:
    return SourceError(
        f"the connection broke {_ATTEMPTS} times in a row while reading {spec.label} "
        f"({error.cause}); {report.upserts:,} rows of it were landed in this run and stay",
        f"look at the server's log and the network, then run `lake extract {spec.name}`: it "
        "goes on where it stopped",
    )
