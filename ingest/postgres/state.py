"""Where the extraction of a table stands, derived from the footers of its commits.

Each commit's footer holds a digest of the names of all commits before it, because it left out the
rows that those already hold. So the newest commit whose digest agrees with what lies in the folder
stands on complete ground, and its watermark is the table's. When a commit in the middle was set
aside, the ones after it no longer agree, and the extraction goes on from the one before the gap.

Here belongs deriving that state. The checkpoint file is written for people and for speed: deleting
it loses nothing.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ingest.sources import TableSpec
from lakehouse.files import write_text_atomically
from lakehouse.raw import CommitInfo, RawTable

FOLLOWS = "follows"
"""Key in a footer's details: ``log_digest`` of the commits before it."""
LOAD_WATERMARK = "load_watermark"
"""Key in a footer's details: the watermark that the end of an unfinished load will set."""
SOURCE_IDENTITY = "source_identity"
"""Key in a footer's details: ``SourceTable.identity`` at the time of the snapshot."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a table ordered by cursor and key, in exact texts.

    Attributes:
        cursor: Cursor of the last row landed.
        key: Its key, in the order of the key's columns.
    """

    cursor: str
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """How far a table is landed.

    Attributes:
        watermark: The table is complete below it; None before the first load has ended.
        resume_position: Footer form of the last row of an unfinished load; None if none is open.
        load_watermark: Watermark of the unfinished load's snapshot: rows below it that were
            invisible then do not exist.
        newest: The newest batch id in the folder, whether the state comes from it or not.
        digest: ``log_digest`` of all commits in the folder.
        commits: How many there are.
        broken: Whether commits after the one that the state comes from do not count any more.
        last: The commit that the state comes from.
    """

    watermark: str | None = None
    resume_position: dict[str, str] | None = None
    load_watermark: str | None = None
    newest: str | None = None
    digest: str = field(default_factory=lambda: log_digest(()))
    commits: int = 0
    broken: bool = False
    last: CommitInfo | None = None


def log_digest(batch_ids: Iterable[str]) -> str:
    """Identify a set of commits.

    Args:
        batch_ids: Their ids in order.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    return _prefix_digests(batch_ids)[-1]


def derive_state(raw: RawTable) -> TableState:
    """Find out where a table stands, opening as few files as possible: usually one.

    Raises:
        RawFileError: A commit on which the answer depends is damaged.
    """
    paths = raw.commits()
    digests = _prefix_digests(path.stem for path in paths)
    state = TableState(
        newest=paths[-1].stem if paths else None, digest=digests[-1], commits=len(paths)
    )
    for index in range(len(paths) - 1, -1, -1):
        info = raw.read(paths[index])
        if info.details.get(FOLLOWS) == digests[index]:
            return _state_after(info, state, broken=index < len(paths) - 1)
    return TableState(
        newest=state.newest, digest=state.digest, commits=len(paths), broken=bool(paths)
    )


def _state_after(info: CommitInfo, of_folder: TableState, *, broken: bool) -> TableState:
    return TableState(
        watermark=info.watermark_after,
        resume_position=info.resume_position,
        load_watermark=info.details.get(LOAD_WATERMARK),
        newest=of_folder.newest,
        digest=of_folder.digest,
        commits=of_folder.commits,
        broken=broken,
        last=info,
    )


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
        source_identity: The table that was last read to the end; see ``SourceTable.identity``.
        landed_blocks: See ``ingest.postgres.overlap.KnownBlocks``.
    """

    digest: str
    watermark: str | None
    resume_position: dict[str, str] | None
    commits: int
    live_rows: int | None
    source_identity: str
    landed_blocks: tuple[str, ...] = ()


class CheckpointFile:
    """A table's checkpoint file, which may be missing, outdated or garbage at any time.

    Args:
        state_dir: The folder of locks and caches.
        spec: The table.
    """

    def __init__(self, state_dir: Path, spec: TableSpec) -> None:
        self._path = state_dir / "checkpoints" / f"{spec.label}.json"

    def read(self, digest: str) -> Checkpoint | None:
        """What it says, if it speaks of exactly these commits."""
        found = self._content()
        return found if found and found.digest == digest else None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write it, unless the file says so already."""
        if checkpoint != self._content():
            fields = asdict(checkpoint)
            write_text_atomically(
                self._path, json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
            )

    def _content(self) -> Checkpoint | None:
        try:
            fields: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            fields["landed_blocks"] = tuple(fields["landed_blocks"])
            return Checkpoint(**fields)
        except (OSError, ValueError, TypeError, KeyError):
            return None
