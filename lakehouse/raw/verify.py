"""Proving that the raw layer still holds what was committed.

Here belongs re-reading commits and setting a damaged one aside. Nothing here changes a byte of a
committed file; setting aside only renames it to a name that no reader matches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir
from lakehouse.raw.commits import CommitInfo, RawTable, raw_tables
from lakehouse.raw.errors import RawFileError
from lakehouse.raw.schema import schema_hash

_SET_ASIDE_SUFFIX = ".set-aside"


@dataclass(frozen=True, slots=True)
class Verified:
    """What one commit turned out to be: its path, its rows, and the problem, None if sound."""

    path: Path
    rows: int
    problem: LakeError | None


def verify_commit(table: RawTable, path: Path) -> CommitInfo:
    """Re-read every page of a commit against its checksums and its footer.

    Raises:
        RawFileError: Something does not agree.
    """
    info = table.read(path)
    upserts = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if schema_hash(file.schema_arrow) != info.schema_hash:
                raise RawFileError(path, "its columns are not those its footer names")
            for batch in file.iter_batches():
                upserts += pc.sum(pc.equal(batch.column("_op"), "upsert")).as_py() or 0
                if not pc.all(pc.equal(batch.column("_batch_id"), info.batch_id)).as_py():
                    raise RawFileError(path, "it holds rows of another batch")
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RawFileError(path, str(error).splitlines()[0]) from error
    if upserts != info.upserts:
        raise RawFileError(path, f"{upserts} upserts where its footer says {info.upserts}")
    return info


def verify(raw_dir: Path) -> Iterator[Verified]:
    """Check every commit of every table; safe while extractors and builds run.

    Yields:
        One result a commit, in the order table, batch.
    """
    for table in raw_tables(raw_dir):
        for path in table.commits():
            try:
                yield Verified(path, verify_commit(table, path).rows, None)
            except RawFileError as error:
                yield Verified(path, 0, error)


def set_aside(raw_dir: Path, batch_id: str) -> Path:
    """Hide a damaged commit from every reader, keeping its bytes.

    The watermark chain is then broken at this commit, so the next extraction starts from there.

    Returns:
        The file's new name.

    Raises:
        LakeError: No such commit.
    """
    for table in raw_tables(raw_dir):
        for path in table.commits():
            if path.stem == batch_id:
                aside = path.with_name(path.name + _SET_ASIDE_SUFFIX)
                path.rename(aside)
                fsync_dir(path.parent)
                return aside
    raise LakeError(
        f"there is no raw commit {batch_id}", "run `lake raw verify`, which names the damaged ones"
    )
