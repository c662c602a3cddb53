"""Commits of a raw table: their order, where they stand, and what their footers say.

A commit is visible exactly when a file named ``<batch id>.parquet`` stands in its day's folder, or
a compacted file there names it. Here belongs reading them. Names are in ``names``, listing them in
``listing``; writing is in ``writer``; checking their content is in ``verify``.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.raw.compacted import read_compaction
from lakehouse.raw.errors import LostCommitError, RawFileError, first_line
from lakehouse.raw.listing import Listing, list_commits, listing_cache
from lakehouse.raw.names import COMPACTED_PREFIX, SUFFIX, day_folder, is_compacted

FOOTER_KEY = b"lake.commit"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Commits to be read from one file.

    Attributes:
        path: The file.
        batch_ids: The commits that are wanted from it, in order.
        is_whole: Whether they are all that it holds; else choose its rows by ``_batch_id``.
    """

    path: Path
    batch_ids: tuple[str, ...]
    is_whole: bool


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

    @property
    def compaction_lock(self) -> Path:
        """Held by whoever replaces files; beside the raw layer, which checkouts may share."""
        folder = self.raw_dir.resolve().with_name("raw.locks")
        return folder / f"compact.{self.source}.{self.table}.lock"

    def path_of(self, batch_id: str) -> Path:
        """Where a commit of this name is landed. Compaction moves its rows: see ``slices``."""
        return self.directory / day_folder(batch_id) / f"{batch_id}{SUFFIX}"

    def listing(self) -> Listing:
        """What the table holds now, opening no commit.

        Raises:
            RawFileError: The footer of a compacted file cannot be read.
        """
        return list_commits(self.directory, listing_cache(self.raw_dir, self.source, self.table))

    def batch_ids(self) -> tuple[str, ...]:
        """The commits in batch order."""
        return self.listing().batch_ids

    def commits(self) -> list[Path]:
        """Where each commit was landed, in batch order; the stem is its id.

        A commit that was compacted is no longer there: ``read`` finds its footer, ``slices`` the
        file that holds its rows.
        """
        folder = str(self.directory)
        return [
            Path(f"{folder}/{day.name}/{batch_id}{SUFFIX}")
            for day in self.listing().days
            for batch_id in day.batch_ids
        ]

    def slices(self, batch_ids: Iterable[str]) -> list[Slice]:
        """The files to open for these commits, in batch order of what they begin with.

        Args:
            batch_ids: Commits of this table.

        Raises:
            LostCommitError: One of them is not in the table.
        """
        chosen = sorted(batch_ids)
        if not chosen:
            return []
        listing = self.listing()
        wanted: dict[str, list[str]] = {}
        for batch_id in chosen:
            stem = listing.stems.get(batch_id)
            if stem is None:
                raise LostCommitError(
                    f"the raw commit {batch_id} of {self.source}.{self.table} has just gone",
                    "run the same command again; `lake raw verify` names what is missing",
                )
            wanted.setdefault(stem, []).append(batch_id)
        days = {stem: day for day in listing.days for stem in (*day.files, *day.compacted)}
        return [
            Slice(
                path=listing.path_of(days[stem], stem),
                batch_ids=tuple(ids),
                is_whole=ids == days[stem].compacted.get(stem, [stem]),
            )
            for stem, ids in wanted.items()
        ]

    def files(self) -> list[str]:
        """The files to open for all commits: each row stands in one of them."""
        return [str(part.path) for part in self.slices(self.batch_ids())]

    def read(self, path: Path) -> CommitInfo:
        """Read the footer of one commit, as it was landed.

        Args:
            path: One of ``commits``.

        Raises:
            RawFileError: The file is not a readable commit of this table.
        """
        try:
            return self.read_own(path)
        except RawFileError:
            for file in self._compacted_beside(path):
                footer = read_compaction(file).footers.get(path.stem)
                if footer is not None:
                    return self._parse(path, footer)
            raise

    def read_own(self, path: Path) -> CommitInfo:
        """Read the footer of a commit's own file, wherever else it stands.

        Raises:
            RawFileError: The file is not a readable commit of this table.
        """
        footer, rows = _own_footer(path)
        info = self._parse(path, footer)
        if info.rows != rows:
            raise RawFileError(path, f"{rows} rows where its footer says {info.rows}")
        return info

    def read_footer(self, path: Path) -> bytes:
        """The footer of a commit's own file, byte for byte.

        Raises:
            RawFileError: It has none.
        """
        return _own_footer(path)[0]

    def read_compacted(self, path: Path) -> list[CommitInfo]:
        """Read the footers of all commits in a compacted file, in batch order.

        Raises:
            RawFileError: It is not a readable compacted file of this table.
        """
        found = read_compaction(path)
        if (found.source, found.table) != (self.source, self.table):
            raise RawFileError(path, f"it is {found.name} of {found.source}.{found.table}")
        return [
            self._parse(path.with_name(f"{batch_id}{SUFFIX}"), footer)
            for batch_id, footer in found.footers.items()
        ]

    def infos(self) -> list[CommitInfo]:
        """The footers of all commits in batch order.

        Raises:
            RawFileError: One of them is not a readable commit of this table.
        """
        return self.read_many(self.batch_ids())

    def read_many(self, batch_ids: Iterable[str]) -> list[CommitInfo]:
        """The footers of some commits in batch order, opening each file once.

        Args:
            batch_ids: Commits of this table.

        Raises:
            LostCommitError: One of them is not in the table.
            RawFileError: One of them is not readable.
        """
        found: list[CommitInfo] = []
        for part in self.slices(batch_ids):
            if is_compacted(part.path.stem):
                wanted = {*part.batch_ids}
                infos = self.read_compacted(part.path)
                found += [info for info in infos if info.batch_id in wanted]
            else:
                found.append(self.read(part.path))
        return sorted(found, key=lambda info: info.batch_id)

    def named(self, stem: str) -> list[Path]:
        """The data files of this name, found also when the table cannot be listed."""
        days = sorted(entry.name for entry in _entries(self.directory) if entry.is_dir())
        paths = [self.directory / day / f"{stem}{SUFFIX}" for day in days]
        return [path for path in paths if path.stem == stem and path.is_file()]

    def _compacted_beside(self, path: Path) -> list[Path]:
        """The compacted files in a commit's folder, the newest first."""
        return sorted(path.parent.glob(f"{COMPACTED_PREFIX}*{SUFFIX}"), reverse=True)

    def _parse(self, path: Path, footer: bytes) -> CommitInfo:
        try:
            info = CommitInfo.from_json(footer)
        except (ValueError, KeyError, TypeError) as error:
            raise RawFileError(path, first_line(error)) from error
        if (info.batch_id, info.source, info.table) != (path.stem, self.source, self.table):
            raise RawFileError(path, f"it is commit {info.batch_id} of {info.source}.{info.table}")
        return info


def _own_footer(path: Path) -> tuple[bytes, int]:
    """A commit's footer and the rows of its file."""
    try:
        metadata = pq.read_metadata(path)
        return (metadata.metadata or {})[FOOTER_KEY], metadata.num_rows
    except (pa.ArrowException, KeyError, OSError) as error:
        cause = "no commit footer" if isinstance(error, KeyError) else first_line(error)
        raise RawFileError(path, cause) from error


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
