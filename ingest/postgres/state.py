"""Where the extraction of a table stands, derived from the footers of its commits.

Each commit's footer holds a digest of the names of all commits before it, because it left out the
rows that those already hold. So the newest commit whose digest agrees with what lies in the folder
stands on complete ground, and its watermark is the table's. When a commit in the middle was set
aside, the ones after it no longer agree, and the extraction goes on from the one before the gap.

Here belongs deriving that state, and the checkpoint file, which is written for people and for
speed: deleting it loses nothing. Here does not belong writing commits (``commit``).
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ingest.postgres.identity import SourceMark
from ingest.sources import TableSpec
from lakehouse.files import write_text_atomically
from lakehouse.raw import CommitInfo, RawTable

FOLLOWS = "follows"
"""Key in a footer's details: ``TableState.digest`` of the commits before it."""
LOAD_WATERMARK = "load_watermark"
"""Key in a footer's details: the watermark that the end of an unfinished load will set."""
SOURCE_TYPES = "source_types"
"""Key in a footer's details: ``SourceTable.source_types`` that all landed rows have."""
SOURCE = "source"
"""Key in a footer's details: the ``SourceMark`` of the snapshot."""

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2}(\.\d+)?(\+00)?)?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a table ordered by cursor and key, in exact texts.

    Attributes:
        cursor: Cursor of the last row landed; None for a table without one.
        key: Its key, in the order of the key's columns.
    """

    cursor: str | None
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableState:
    """How far a table is landed.

    Attributes:
        batch_ids: All commits in the folder, in order.
        last: The commit whose footer says how far; None before the first.
    """

    batch_ids: tuple[str, ...] = ()
    last: CommitInfo | None = None

    @property
    def watermark(self) -> str | None:
        """The table is complete below it; None before the first load has ended."""
        return self.last.watermark_after if self.last else None

    @property
    def resume_position(self) -> dict[str, str] | None:
        """Footer form of the last row of an unfinished load; None if none is open."""
        return self.last.resume_position if self.last else None

    @property
    def is_loaded(self) -> bool:
        """Whether the first load has ended."""
        return self.last is not None and (
            self.watermark is not None or self.resume_position is None
        )

    @property
    def source_types(self) -> dict[str, str] | None:
        """PostgreSQL's types of the columns that are landed with all their history, by name."""
        return self.last.details.get(SOURCE_TYPES) if self.last else None

    @property
    def load_watermark(self) -> str | None:
        """Watermark of the unfinished load's snapshot: what was invisible then lies above it."""
        return self.last.details.get(LOAD_WATERMARK) if self.last else None

    @property
    def source(self) -> SourceMark | None:
        """What was read when the last commit was made."""
        return SourceMark.from_dict(self.last.details.get(SOURCE)) if self.last else None

    @property
    def newest(self) -> str | None:
        """The newest batch id in the folder, whether it counts or not."""
        return self.batch_ids[-1] if self.batch_ids else None

    @property
    def is_broken(self) -> bool:
        """Whether commits after the last one do not count any more."""
        return self.newest != (self.last.batch_id if self.last else None)

    @property
    def digest(self) -> str:
        """Identifies all commits in the folder: 16 hexadecimal digits of a SHA-256 of their ids."""
        return _prefix_digests(self.batch_ids)[-1]

    def after(self, commit: CommitInfo) -> "TableState":
        """The state once another commit is there."""
        return TableState((*self.batch_ids, commit.batch_id), commit)


def reaches(cursor: str | None, start: str | Position) -> bool:
    """Whether a cursor is at or above a start, both PostgreSQL's exact texts of one type.

    PostgreSQL's ISO texts of years 1 to 9999 sort like the times they mean: the fraction has no
    trailing zeros, and the plus of the zone sorts before the point. Whatever is not such a text
    (infinity, BC, NaN, NULL) counts as above: looking into a commit in vain is harmless.
    """
    lower = start.cursor if isinstance(start, Position) else start
    if cursor is None or lower is None:
        return True
    if _ISO.fullmatch(cursor) and _ISO.fullmatch(lower):
        return cursor >= lower
    if _NUMBER.fullmatch(cursor) and _NUMBER.fullmatch(lower):
        return Decimal(cursor) >= Decimal(lower)
    return True


def derive_state(raw: RawTable) -> TableState:
    """Find out where a table stands, opening as few files as possible: usually one.

    Raises:
        RawFileError: A commit on which the answer depends is damaged.
    """
    paths = raw.commits()
    batch_ids = tuple(path.stem for path in paths)
    for path, digest in reversed(list(zip(paths, _prefix_digests(batch_ids)[:-1], strict=True))):
        info = raw.read(path)
        if info.details.get(FOLLOWS) == digest:
            return TableState(batch_ids, info)
    return TableState(batch_ids)


def _prefix_digests(batch_ids: Iterable[str]) -> list[str]:
    """The digest of no ids, of the first, of the first two, and so on."""
    running = hashlib.sha256()
    digests = [running.hexdigest()[:16]]
    for batch_id in batch_ids:
        running.update(f"{batch_id}\n".encode())
        digests.append(running.hexdigest()[:16])
    return digests


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the checkpoint file says.

    Attributes:
        digest: Which commits it speaks of; with other commits in the folder it says nothing.
        watermark: As in ``TableState``.
        resume_position: As in ``TableState``.
        commits: How many there are.
        live_rows: Keys whose latest version is no tombstone; None if nobody counted.
        key_mark: ``deletes.key_mark`` of the source's keys when they were found equal to raw's;
            None if nobody looked since raw changed.
        without_cursor: Rows whose latest version has no cursor; None if nobody counted.
        source: The ``SourceMark`` of what was last read to the end.
        source_types: The columns it had, and their types.
        keys_compared_at: When keys were last compared (UTC), for a table where that is not done at
            every run.
        landed_blocks: Fingerprints of the blocks of rows that the run before found landed.
    """

    digest: str
    watermark: str | None
    resume_position: dict[str, str] | None
    commits: int
    live_rows: int | None
    key_mark: str | None
    without_cursor: int | None
    source: dict[str, Any]
    source_types: dict[str, str]
    keys_compared_at: str | None
    landed_blocks: tuple[str, ...] = ()


def checkpoint_path(state_dir: Path, spec: TableSpec) -> Path:
    """Where a table's checkpoint is: a file that may be missing, outdated or garbage."""
    return state_dir / "checkpoints" / f"{spec.label}.json"


def read_checkpoint(path: Path, digest: str) -> Checkpoint | None:
    """What a checkpoint file says, if it speaks of exactly these commits."""
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields["landed_blocks"] = tuple(fields["landed_blocks"])
        found = Checkpoint(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.digest == digest else None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint file, unless it says so already."""
    if checkpoint != read_checkpoint(path, checkpoint.digest):
        text = json.dumps(asdict(checkpoint), indent=2, ensure_ascii=False)
        write_text_atomically(path, f"{text}\n")
