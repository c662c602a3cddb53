"""Making few large files of many small ones; the commits in them stay what they were.

A compacted file holds whole commits: every row as it was landed, and every commit's footer byte for
byte. It stands in the folder of its commits' day, so a day's folder still holds that day's commits.
From its rename on it speaks for them; the files that it replaces stay for a grace period, because a
build that has begun reads the files it has listed.

Which files: small ones. Those of a day that is over become one. Of today's, whenever so many lie
within one class of size, these become one of a larger class; so a row is written again at most once
in each class and once when its day is over, however often commits arrive and compaction runs.

Here belong that choice, the copy and the removal. Here does not belong how commits are found.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir
from lakehouse.locks import file_lock
from lakehouse.progress import Advance, progress
from lakehouse.raw.commits import CommitInfo, RawTable
from lakehouse.raw.compacted import FOOTER_KEY, Compaction, read_compaction
from lakehouse.raw.errors import RawFileError, first_line
from lakehouse.raw.listing import Day, Listing
from lakehouse.raw.names import (
    COMPACTED_PREFIX,
    DAY_PREFIX,
    SUFFIX,
    compacted_at,
    is_compacted,
    new_batch_id,
)
from lakehouse.raw.verify import checked_batches, verify_file
from lakehouse.raw.writer import ROW_GROUP_ROWS, FileWriter, remove_orphans

SIZES = (64 * 1024, 1024**2, 32 * 1024**2)
"""Upper bounds of the classes of size, in bytes; a file above the last is not small."""
ENOUGH = 16
"""So many files of one class and of today are worth a larger one."""
MOST_BYTES = 256 * 1024**2
"""What goes into one file."""
MOST_COMMITS = 20_000
"""Likewise: their footers are read when the file is listed."""
GRACE = timedelta(hours=24)
"""How long replaced files stay: longer than any build that has listed them runs."""
_BUFFER_BYTES = 64 * 1024**2
_COMPARED_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file that may be compacted: its path, bytes, commits, and rows if they are known."""

    path: Path
    size: int
    commits: int
    rows: int = 0


@dataclass(slots=True)
class Account:
    """What a compaction of one table did, or would do.

    Attributes:
        table: The table.
        replaced: Files whose commits now stand in another one.
        replaced_bytes: Their size.
        made: Files that took their place.
        made_bytes: Their size; 0 if nothing was written.
        commits: Commits that moved.
        rows: Rows that moved.
        removed: Files removed, whose replacement is older than the grace period.
        removed_bytes: Their size.
        waiting: Replaced files that stay for now.
        problems: Files that are left as they are, because they are damaged.
    """

    table: str
    replaced: int = 0
    replaced_bytes: int = 0
    made: int = 0
    made_bytes: int = 0
    commits: int = 0
    rows: int = 0
    removed: int = 0
    removed_bytes: int = 0
    waiting: int = 0
    problems: list[LakeError] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        """Whether nothing was to do."""
        return not (self.replaced or self.removed or self.problems)


def compact(
    table: RawTable,
    *,
    now: datetime | None = None,
    grace: timedelta = GRACE,
    may_remove: bool = True,
    dry_run: bool = False,
) -> Account:
    """Compact one table and remove the files whose replacement is old enough.

    Safe at any time beside readers and writers, and to kill at any time.

    Args:
        table: The table.
        now: The time (UTC) that says which day it is; the clock's if None.
        grace: How long replaced files stay.
        may_remove: Whether replaced files may go in this run at all.
        dry_run: Only say what would be done.

    Raises:
        LockHeldError: Another compaction of the table is running.
        RawFileError: The table cannot be listed.
        LakeError: The disk is full or refuses; what was replaced so far is complete.
    """
    now = now or datetime.now(UTC)
    account = Account(f"{table.source}.{table.table}")
    if not table.directory.is_dir():
        return account
    if dry_run:
        for group in plan(table, now, account):
            _add(account, group)
        _remove_replaced(table, now - grace, account, may_remove=may_remove, dry_run=True)
        return account
    with file_lock(table.compaction_lock, purpose="lake raw compact", wait=False):
        remove_orphans(table)
        if groups := list(plan(table, now, account)):
            rows = sum(file.rows for group in groups for file in group)
            with progress(f"compacting {account.table}", rows) as bar:
                for group in groups:
                    _replace(table, group, account, bar)
        _remove_replaced(table, now - grace, account, may_remove=may_remove, dry_run=False)
    return account


def plan(table: RawTable, now: datetime, account: Account) -> Iterator[list[SmallFile]]:
    """Choose the files that are to become one, group by group.

    Args:
        table: The table.
        now: The time (UTC).
        account: Gets the files that cannot be read.
    """
    today = f"{DAY_PREFIX}{now:%Y-%m-%d}"
    listing = table.listing()
    for day in listing.days:
        stems = _speaking_alone(day)
        if len(stems) < 2:
            continue
        small = _small_files(listing, day, stems)
        for group in choose(small, is_over=day.name < today):
            by_schema: dict[bytes, list[SmallFile]] = {}
            for file in group:
                try:
                    schema, rows = _schema_and_rows(file.path)
                except RawFileError as error:
                    account.problems.append(error)
                else:
                    key = schema.serialize().to_pybytes()
                    by_schema.setdefault(key, []).append(replace(file, rows=rows))
            least = 2 if day.name < today else ENOUGH
            yield from (found for found in by_schema.values() if len(found) >= least)


def choose(files: Sequence[SmallFile], *, is_over: bool) -> list[list[SmallFile]]:
    """Group the small files of one day that are worth one file.

    Args:
        files: Small files in batch order.
        is_over: Whether no more commits of this day are to come.
    """
    if is_over:
        groups, least = [list(files)], 2
    else:
        classes: dict[int, list[SmallFile]] = {}
        for file in files:
            classes.setdefault(bisect_left(SIZES, file.size), []).append(file)
        groups, least = [classes[n] for n in sorted(classes)], ENOUGH
    parts = [part for group in groups if len(group) >= least for part in _portions(group)]
    return [part for part in parts if len(part) >= 2]


def _portions(files: Iterable[SmallFile]) -> Iterator[list[SmallFile]]:
    portion: list[SmallFile] = []
    size = commits = 0
    for file in files:
        if portion and (size + file.size > MOST_BYTES or commits + file.commits > MOST_COMMITS):
            yield portion
            portion, size, commits = [], 0, 0
        portion.append(file)
        size, commits = size + file.size, commits + file.commits
    if portion:
        yield portion


def _speaking_alone(day: Day) -> list[str]:
    """The files that speak for all commits they hold, in the order of the first of these."""
    held: dict[str, list[str]] = {}
    for batch_id in day.batch_ids:
        held.setdefault(day.stems[batch_id], []).append(batch_id)
    return [stem for stem, ids in held.items() if ids == day.compacted.get(stem, [stem])]


def _small_files(listing: Listing, day: Day, stems: Iterable[str]) -> list[SmallFile]:
    found = []
    for stem in stems:
        path = listing.path_of(day, stem)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue  # just set aside
        if size <= SIZES[-1]:
            found.append(SmallFile(path, size, len(day.compacted.get(stem, [stem]))))
    return found


def _schema_and_rows(path: Path) -> tuple[pa.Schema, int]:
    try:
        with pq.ParquetFile(path) as file:
            # Without its metadata: that is each file's own footer.
            schema = pa.schema([field.remove_metadata() for field in file.schema_arrow])
            return schema, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise RawFileError(path, first_line(error)) from error


def _add(account: Account, group: Sequence[SmallFile]) -> None:
    account.replaced += len(group)
    account.replaced_bytes += sum(file.size for file in group)
    account.commits += sum(file.commits for file in group)
    account.made += 1


def _replace(table: RawTable, group: Sequence[SmallFile], account: Account, bar: Advance) -> None:
    """Copy the sound files of a group into one, compare, and make that visible."""
    sound: list[SmallFile] = []
    footers: dict[str, bytes] = {}
    infos: dict[Path, list[CommitInfo]] = {}
    for file in group:
        # Read to the end before anything is written: a damaged file stays as it is, for all to see.
        try:
            infos[file.path] = verify_file(table, file.path)
            footers |= _footers(table, file.path)
        except RawFileError as error:
            if file.path.exists():
                account.problems.append(error)
            continue
        sound.append(file)
    if len(sound) < 2:
        return
    name = f"{COMPACTED_PREFIX}{new_batch_id()}"
    final = sound[0].path.with_name(f"{name}{SUFFIX}")
    schema, _ = _schema_and_rows(sound[0].path)
    paths = [file.path for file in sound]
    with FileWriter(final, schema) as writer:
        for rows in _in_row_groups(_read(paths, infos), schema):
            writer.write(rows)
            bar.advance(rows.num_rows)
        content = Compaction(
            name=name,
            source=table.source,
            table=table.table,
            rows=writer.rows,
            footers=dict(sorted(footers.items())),
        )
        temporary = writer.finish(FOOTER_KEY, content.to_json())
        _compare(paths, temporary, final)
        writer.publish()
    _add(account, sound)
    account.made_bytes += final.stat().st_size
    account.rows += writer.rows


def _footers(table: RawTable, path: Path) -> dict[str, bytes]:
    """Each commit's footer as it stands in a file, byte for byte."""
    if is_compacted(path.stem):
        return dict(read_compaction(path).footers)
    return {path.stem: table.read_footer(path)}


def _read(paths: Iterable[Path], infos: dict[Path, list[CommitInfo]]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        yield from checked_batches(path, infos[path])


def _in_row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Collect rows to full row groups: tiny ones would cost every later scan."""
    collected: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        collected.append(batch.cast(schema))
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= ROW_GROUP_ROWS or size >= _BUFFER_BYTES:
            yield pa.Table.from_batches(collected, schema)
            collected, rows, size = [], 0, 0
    if collected:
        yield pa.Table.from_batches(collected, schema)


def _compare(paths: Sequence[Path], copy: Path, final: Path) -> None:
    """Prove that a copy holds what its originals hold, as it lies on the disk.

    Raises:
        LakeError: It does not; nothing has been replaced.
    """
    left = _blocks(batch for path in paths for batch in _stored(path))
    right = _blocks(_stored(copy))
    try:
        same = all(_bits(a).equals(_bits(b)) for a, b in zip(left, right, strict=True))
    except (ValueError, pa.ArrowException, OSError):
        same = False
    if not same:
        raise LakeError(
            f"what was written to {final} is not what was to be copied; nothing was replaced",
            "look at the disk's and the memory's health, then run `lake raw verify`",
        )


def _stored(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        yield from file.iter_batches(batch_size=_COMPARED_ROWS)


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in blocks of one size, wherever the files' own borders are."""
    rest: pa.Table | None = None
    for batch in batches:
        table = pa.table(batch).replace_schema_metadata()
        rest = table if rest is None else pa.concat_tables([rest, table])
        while rest.num_rows >= _COMPARED_ROWS:
            yield rest.slice(0, _COMPARED_ROWS)
            rest = rest.slice(_COMPARED_ROWS)
    if rest is not None and rest.num_rows:
        yield rest


def _bits(table: pa.Table) -> pa.Table:
    """Floats as the integers that their bits are: NaN equals NaN, and 0.0 is not -0.0."""
    kinds = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
    columns = [
        column.combine_chunks().view(kinds[column.type.bit_width])
        if pa.types.is_floating(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(columns, table.column_names)


def _remove_replaced(
    table: RawTable, before: datetime, account: Account, *, may_remove: bool, dry_run: bool
) -> None:
    """Remove files all of whose commits have stood in sound, newer files for long enough."""
    listing = table.listing()
    proven: dict[Path, bool] = {}

    def is_proven(path: Path) -> bool:
        if path not in proven:
            try:
                proven[path] = dry_run or bool(verify_file(table, path))
            except RawFileError as error:
                proven[path] = False
                if path.exists():
                    account.problems.append(error)
        return proven[path]

    for day in listing.days:
        speaking = {*day.stems.values()}
        gone = False
        for stem in [s for s in (*day.compacted, *day.files) if s not in speaking]:
            path = listing.path_of(day, stem)
            instead = {day.stems[batch_id] for batch_id in day.compacted.get(stem, [stem])}
            is_due = may_remove and all(compacted_at(each) < before for each in instead)
            if not is_due or not all(is_proven(listing.path_of(day, each)) for each in instead):
                account.waiting += 1
                continue
            try:
                account.removed_bytes += path.stat().st_size
                if not dry_run:
                    path.unlink()
            except FileNotFoundError:
                continue
            account.removed += 1
            gone = True
        if gone and not dry_run:
            fsync_dir(table.directory / day.name)


def tables_named(tables: Iterable[RawTable], name: str | None) -> list[RawTable]:
    """Choose tables by ``SOURCE`` or ``SOURCE.TABLE``; all of them if None.

    Raises:
        LakeError: None has this name.
    """
    every = list(tables)
    if name is None:
        return every
    found = [t for t in every if name in (t.source, f"{t.source}.{t.table}")]
    if not found:
        known = ", ".join(f"{t.source}.{t.table}" for t in every) or "none"
        raise LakeError(f"no raw table is named {name}", f"choose one of: {known}")
    return found
