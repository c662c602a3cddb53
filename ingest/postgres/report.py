"""What one extraction did to one table, and the error that carries such reports.

Here belongs counting. Here does not belong how it is shown.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ingest.sources import TableSpec
from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What one run did to one table.

    Attributes:
        source: Name of the source.
        table: Name of the table.
        batches: Ids of the commits written, in order; none when nothing was new.
        rows: Rows written: ``upserts`` + ``deletes``.
        upserts: New row versions written.
        deletes: Tombstones written.
        rows_read: Rows read from the source, those already landed included.
        null_cursors: Rows whose cursor is NULL.
        future_cursors: Rows whose cursor lies in the future.
        watermark_before: Exact cursor text below which the table was complete; None at first.
        watermark_after: The same after this run; unchanged when nothing was new.
        guarantee: ``exact``, or the lookback in force and why it is needed; None if unknown.
        seconds: Wall time spent on the table.
        warnings: Sentences a person should read.
        error: Why the table was not finished; None when it was.
    """

    source: str
    table: str
    batches: tuple[str, ...]
    rows: int
    upserts: int
    deletes: int
    rows_read: int
    null_cursors: int
    future_cursors: int
    watermark_before: str | None
    watermark_after: str | None
    guarantee: str | None
    seconds: float
    warnings: tuple[str, ...]
    error: str | None

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


class ExtractionError(LakeError):
    """At least one table was not finished; the others were.

    Args:
        errors: What went wrong, in the order of the tables.
        reports: One report a table, the failed ones included.
    """

    def __init__(self, errors: Sequence[LakeError], reports: Sequence[ExtractReport]) -> None:
        self.errors = tuple(errors)
        self.reports = tuple(reports)
        first, *others = errors
        also = f" (and {len(others)} more of {len(reports)} tables failed)" if others else ""
        super().__init__(f"{first.cause}{also}", first.next_step)


@dataclass(slots=True)
class Tally:
    """Counts while a table is extracted, over all attempts of one run."""

    spec: TableSpec
    batches: list[str] = field(default_factory=list)
    upserts: int = 0
    deletes: int = 0
    rows_read: int = 0
    null_cursors: int = 0
    future_cursors: int = 0
    watermark_before: str | None = None
    watermark_after: str | None = None
    guarantee: str | None = None
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    error: LakeError | None = None
    started: bool = False

    def begin(self, watermark: str | None) -> None:
        """Note where the table stood before this run; later attempts change nothing."""
        if not self.started:
            self.watermark_before = self.watermark_after = watermark
            self.started = True

    def add(self, info: CommitInfo) -> None:
        """Count a commit."""
        self.batches.append(info.batch_id)
        self.upserts += info.upserts
        self.deletes += info.deletes
        self.watermark_after = info.watermark_after

    def warn(self, sentence: str) -> None:
        """Add a warning, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def report(self) -> ExtractReport:
        """What has been counted."""
        return ExtractReport(
            source=self.spec.source,
            table=self.spec.name,
            batches=tuple(self.batches),
            rows=self.upserts + self.deletes,
            upserts=self.upserts,
            deletes=self.deletes,
            rows_read=self.rows_read,
            null_cursors=self.null_cursors,
            future_cursors=self.future_cursors,
            watermark_before=self.watermark_before,
            watermark_after=self.watermark_after,
            guarantee=self.guarantee,
            seconds=round(self.seconds, 3),
            warnings=tuple(self.warnings),
            error=str(self.error) if self.error else None,
        )


class Stopwatch:
    """Adds the time its block takes to a tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._tally.seconds += time.monotonic() - self._start
