"""Proving that the raw layer still holds what was committed.

Here belongs re-reading files, comparing what their footers say with what is there, and setting a
damaged one aside. Nothing here changes a byte of a committed file; setting aside only renames it to
a name that no reader matches.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir
from lakehouse.locks import file_lock
from lakehouse.raw.chain import Gap, find_gaps
from lakehouse.raw.commits import CommitInfo, RawTable, raw_tables
from lakehouse.raw.errors import LostCommitError, RawFileError, first_line
from lakehouse.raw.names import SET_ASIDE_SUFFIX, is_compacted
from lakehouse.raw.schema import schema_hash


@dataclass(frozen=True, slots=True)
class Verified:
    """What one file turned out to be.

    Attributes:
        path: The file.
        rows: Rows in it; 0 when there is a problem.
        problem: What is wrong; None if it is sound.
        commits: Commits in it; 0 for a file that has been replaced and waits for its removal.
    """

    path: Path
    rows: int
    problem: LakeError | None
    commits: int = 1


def verify_file(table: RawTable, path: Path) -> list[CommitInfo]:
    """Re-read every page of a file against its checksums and the footers of its commits.

    Args:
        table: The table.
        path: A file of one commit or of several.

    Returns:
        What the commits' footers say, in batch order.

    Raises:
        RawFileError: Something does not agree.
    """
    infos = [table.read_own(path)] if not is_compacted(path.stem) else table.read_compacted(path)
    for _ in checked_batches(path, infos):
        pass
    return infos


def checked_batches(path: Path, infos: Sequence[CommitInfo]) -> Iterator[pa.RecordBatch]:
    """Read a file and compare it with the footers of its commits.

    Args:
        path: The file.
        infos: What it has to hold.

    Yields:
        Its rows.

    Raises:
        RawFileError: Something does not agree; known for certain only at the end.
    """
    counted: dict[tuple[str, str], int] = {}
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            hash_ = schema_hash(file.schema_arrow)
            if any(info.schema_hash != hash_ for info in infos):
                raise RawFileError(path, "its columns are not those its footer names")
            for batch in file.iter_batches():
                for key, rows in _count(batch):
                    counted[key] = counted.get(key, 0) + rows
                yield batch
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RawFileError(path, first_line(error)) from error
    for info in infos:
        upserts = counted.pop((info.batch_id, "upsert"), 0)
        if upserts != info.upserts:
            raise RawFileError(path, f"{upserts} upserts where its footer says {info.upserts}")
        deletes = counted.pop((info.batch_id, "delete"), 0)
        if upserts + deletes != info.rows:
            raise RawFileError(path, f"{upserts + deletes} rows where a footer says {info.rows}")
    if counted:
        raise RawFileError(path, "it holds rows of another batch")


def _count(batch: pa.RecordBatch) -> Iterator[tuple[tuple[str, str], int]]:
    """How many rows each commit and operation has."""
    keys = pa.table([batch.column("_batch_id"), batch.column("_op")], ["_batch_id", "_op"])
    counts = keys.group_by(keys.column_names).aggregate([([], "count_all")])
    for row in counts.to_pylist():
        yield (row["_batch_id"], row["_op"]), row["count_all"]


def verify(raw_dir: Path) -> Iterator[Verified]:
    """Check every commit of every table; safe while extractors, builds and compactions run.

    Yields:
        One result a file, in the order table, batch; then one for each commit that has gone from
        between others.
    """
    for table in raw_tables(raw_dir):
        yield from _verify_table(table)


def _verify_table(table: RawTable) -> Iterator[Verified]:
    try:
        listing = table.listing()
    except RawFileError as error:
        yield Verified(error.path, 0, error)
        return
    infos: list[CommitInfo] = []
    is_damaged = False
    for day in listing.days:
        spoken = {*day.stems.values()}
        for stem in (*day.compacted, *day.files):
            path = listing.path_of(day, stem)
            try:
                found = verify_file(table, path)
            except RawFileError as error:
                # One that is not there any more has just been replaced or set aside.
                is_damaged = True
                if path.exists():
                    yield Verified(path, 0, error)
                continue
            own = [info for info in found if day.stems[info.batch_id] == stem]
            infos += own
            rows = sum(info.rows for info in own)
            if stem in spoken and len(own) < len(found):
                yield Verified(path, rows, _overlap(path), len(own))
            else:
                yield Verified(path, rows, None, len(own))
    for gap in _gaps(table, infos) if not is_damaged else ():
        yield Verified(table.path_of(gap.batch_id), 0, _lost(table, gap), 0)


def _gaps(table: RawTable, infos: Sequence[CommitInfo]) -> Sequence[Gap]:
    """What has gone from between commits, also when one looks again.

    A listing is no snapshot: it can show a commit and not the one that was landed just before it.
    """
    gaps = find_gaps(sorted(infos, key=lambda info: info.batch_id))
    if gaps:
        with suppress(RawFileError):
            gaps = find_gaps(table.infos())
    return gaps


def _lost(table: RawTable, gap: Gap) -> LakeError:
    name = f"{table.source}.{table.table}"
    if "partition" in gap.cause:
        hint = "bring the file back from a backup, or land the offsets again from Kafka"
    else:
        hint = f"run `lake extract {table.table}`, which lands again what is missing"
    return LostCommitError(f"the raw commit {gap.batch_id} of {name}: {gap.cause}", hint)


def _overlap(path: Path) -> LakeError:
    return LakeError(
        f"the compacted file {path} shares only some of its commits with a newer one",
        f"run `lake raw set-aside {path.stem}`, then `lake raw verify`",
    )


def set_aside(raw_dir: Path, name: str) -> Path:
    """Hide a damaged file from every reader, keeping its bytes.

    What it held is then missing, unless another file holds it too, so the next extraction starts
    from there.

    Args:
        raw_dir: The raw layer.
        name: The file's name without suffix: a commit's batch id, or that of a compacted file.

    Returns:
        The file's new name.

    Raises:
        LakeError: No such file.
    """
    for table in raw_tables(raw_dir):
        # Not while somebody copies it into another file.
        for path in table.named(name):
            with file_lock(table.compaction_lock, purpose="lake raw set-aside"):
                aside = path.with_name(path.name + SET_ASIDE_SUFFIX)
                path.rename(aside)
                fsync_dir(path.parent)
                return aside
        if file := _compacted_file(table, name):
            raise LakeError(
                f"the raw commit {name} shares the file {file.name} with other commits",
                f"run `lake raw set-aside {file.stem}`, which hides all of them",
            )
    raise LakeError(
        f"there is no raw commit {name}", "run `lake raw verify`, which names the damaged ones"
    )


def still_holds(raw_dir: Path, name: str) -> Path | None:
    """The compacted file that holds a commit whose own file was set aside; None if none does."""
    for table in raw_tables(raw_dir):
        if file := _compacted_file(table, name):
            return file
    return None


def _compacted_file(table: RawTable, batch_id: str) -> Path | None:
    with suppress(RawFileError):
        listing = table.listing()
        for day in listing.days:
            if (stem := day.stems.get(batch_id)) and stem != batch_id:
                return listing.path_of(day, stem)
    return None
