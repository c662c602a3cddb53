"""What an extraction tells: one report a table, and failures as sentences without secrets.

Here belong counting, telling failures apart and hiding passwords. Here does not belong what is done
about a failure (``extract`` tries again) or how it is shown (``ingest.cli``).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo

if TYPE_CHECKING:
    from ingest.postgres.reconcile import RangeDifference

_MASK = "***"
_SHORTEST_SECRET = 4


class SourceError(LakeError):
    """The source database, or a table in it, cannot be extracted as asked."""


class UnreachableError(SourceError):
    """No connection can be had."""


class ConnectionLostError(SourceError):
    """The connection broke, so that everything after the last commit is to be read again."""


class RewrittenMeanwhileError(SourceError):
    """The table was truncated or rewritten since the snapshot was taken: another one is needed."""


class DeletesRefusedError(SourceError):
    """More rows disappeared than one run may tombstone; nothing was tombstoned."""


@dataclass(slots=True, kw_only=True)
class ExtractReport:
    """What one run did to one table; filled while it is done, over all attempts of the run.

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
        keys_compared_at: When the source's keys were last compared with raw's (UTC): deletes before
            that are landed. None if nobody has looked.
        guarantee: ``exact``, or the lookback in force and why it is needed; None if unknown.
        ranges: Key ranges in which source and raw differ, or did until this run; when asked for.
        seconds: Wall time spent on the table.
        warnings: Sentences a person should read.
        error: Why the table was not finished; None when it was.
    """

    source: str
    table: str
    batches: tuple[str, ...] = ()
    rows: int = 0
    upserts: int = 0
    deletes: int = 0
    rows_read: int = 0
    null_cursors: int = 0
    future_cursors: int = 0
    watermark_before: str | None = None
    watermark_after: str | None = None
    keys_compared_at: str | None = None
    guarantee: str | None = None
    ranges: "tuple[RangeDifference, ...]" = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None

    def begin(self, watermark: str | None) -> None:
        """Note where the table stood before this run: before its first commit."""
        if not self.batches:
            self.watermark_before = self.watermark_after = watermark

    def add(self, info: CommitInfo) -> None:
        """Count a commit."""
        self.batches += (info.batch_id,)
        self.rows += info.rows
        self.upserts += info.upserts
        self.deletes += info.deletes
        self.watermark_after = info.watermark_after

    def warn(self, sentences: Iterable[str]) -> None:
        """Add warnings, each once."""
        self.warnings = tuple(dict.fromkeys((*self.warnings, *sentences)))

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


def masked(text: str, secrets: Iterable[str]) -> str:
    """Remove passwords from a text.

    Servers and libpq do not repeat a password; this is for the day that one of them does. One of a
    few letters is part of many words, and masking it there would tell it.

    Args:
        text: What is about to be shown.
        secrets: The passwords that may be in it.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, quote(secret, safe="")):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(form, _MASK)
    return text


def server_message(error: BaseException) -> str:
    """What the server or libpq said, without the driver's wrapping and the statement."""
    text = str(error).split("\n\nQuery was:")[0]
    text = re.split(r"(?:ERROR|FATAL|PANIC):\s+", text, maxsplit=1)[-1]
    text = re.sub(r"^.*?\[libpq\] (?:Failed to connect: )?", "", text)
    text = re.sub(r"\. SQLSTATE: \w+$", "", text)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
