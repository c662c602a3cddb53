"""Commits of a raw table: their names, their order, and what their footers say.

A commit is visible exactly when a file named ``<batch id>.parquet`` stands in its day's folder.
Here belongs reading them. Writing is in ``writer``; checking their content is in ``verify``.
"""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.raw.errors import RawFileError

FOOTER_KEY = b"lake.commit"
_ID_FORMAT = "%Y%m%dT%H%M%S%f"
_DAY_PREFIX = "load_date="


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """What the footer of one commit says.

    Attributes:
        batch_id: Sorts in commit order within one table and writer.
        kind: ``snapshot``, ``chunk``, ``incremental``, ``tombstones`` or ``stream``; ``state`` for
            one without rows, by which a person moved the watermark.
        watermark_before: Exact cursor text up to which the table was complete before; or None.
        watermark_after: The same after this commit.
        resume_position: Where a chunked load goes on: exact texts of cursor and key; else None.
        rows: Rows in the file: ``upserts`` + ``deletes``.
        cursor_min: Smallest cursor landed, exact text; None if all NULL or no cursor.
        cursor_max: Largest cursor landed, exact text.
        schema_hash: See ``lakehouse.raw.schema_hash``.
        writer: Name and version of what wrote the file.
        extracted_at: Clock of the snapshot the rows come from (UTC).
        details: What the writer wants to say beyond that; JSON values.
    """

    batch_id: str
    source: str
    table: str
    kind: str
    watermark_before: str | None
    watermark_after: str | None
    resume_position: dict[str, str] | None
    rows: int
    upserts: int
    deletes: int
    cursor_min: str | None
    cursor_max: str | None
    schema_hash: str
    writer: str
    extracted_at: datetime
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The footer's value."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["extracted_at"] = self.extracted_at.isoformat()
        return json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "CommitInfo":
        """Read a footer's value.

        Raises:
            ValueError, KeyError, TypeError: It is not one.
        """
        fields = json.loads(data)
        fields["extracted_at"] = datetime.fromisoformat(fields["extracted_at"])
        return cls(**fields)


def new_batch_id(after: str | None = None) -> str:
    """Name the next commit of a table.

    Args:
        after: The newest batch id of the same table and writer; the result sorts after it even
            when the clock has gone back.

    Returns:
        UTC time to the microsecond and six random hexadecimal digits, so that two writers never
        choose the same name.
    """
    now = datetime.now(UTC)
    if after is not None:
        now = max(now, batch_time(after) + timedelta(microseconds=1))
    return f"{now.strftime(_ID_FORMAT)}Z-{secrets.token_hex(3)}"


def batch_time(batch_id: str) -> datetime:
    """The UTC time in a batch id.

    Raises:
        ValueError: It is not a batch id.
    """
    return datetime.strptime(batch_id.split("Z-")[0], _ID_FORMAT).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RawTable:
    """One table of the raw layer.

    Args:
        raw_dir: The raw layer's folder.
        source: Name of the source.
        table: Name of the table in it.
    """

    raw_dir: Path
    source: str
    table: str

    @property
    def directory(self) -> Path:
        """The table's folder; it holds one folder a load date."""
        return self.raw_dir / self.source / self.table

    def path_of(self, batch_id: str) -> Path:
        """Where a commit of this name stands."""
        day = f"{_DAY_PREFIX}{batch_time(batch_id):%Y-%m-%d}"
        return self.directory / day / f"{batch_id}.parquet"

    def commits(self) -> list[Path]:
        """The committed files in batch order, found by listing the folders, opening none."""
        found: list[Path] = []
        for day in _entries(self.directory):
            if day.name.startswith(_DAY_PREFIX):
                found.extend(
                    Path(entry.path)
                    for entry in _entries(day.path)
                    if entry.name.endswith(".parquet") and not entry.name.startswith(".")
                )
        return sorted(found, key=lambda path: path.name)

    def read(self, path: Path) -> CommitInfo:
        """Read the footer of one commit.

        Raises:
            RawFileError: The file is not a readable commit of this table.
        """
        try:
            metadata = pq.read_metadata(path)
            info = CommitInfo.from_json((metadata.metadata or {})[FOOTER_KEY])
        except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
            cause = "no commit footer" if isinstance(error, KeyError) else _first_line(error)
            raise RawFileError(path, cause) from error
        if info.rows != metadata.num_rows:
            raise RawFileError(path, f"{metadata.num_rows} rows where its footer says {info.rows}")
        if (info.batch_id, info.source, info.table) != (path.stem, self.source, self.table):
            raise RawFileError(path, f"it is commit {info.batch_id} of {info.source}.{info.table}")
        return info

    def infos(self) -> list[CommitInfo]:
        """The footers of all commits in batch order.

        Raises:
            RawFileError: One of them is not a readable commit of this table.
        """
        return [self.read(path) for path in self.commits()]


def raw_tables(raw_dir: Path) -> list[RawTable]:
    """Every table that has a folder in the raw layer, by source and name."""
    return [
        RawTable(raw_dir, source.name, table.name)
        for source in sorted(_entries(raw_dir), key=lambda entry: entry.name)
        if source.is_dir()
        for table in sorted(_entries(source.path), key=lambda entry: entry.name)
        if table.is_dir()
    ]


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
