"""Which raw commits a run reads, and from which files: noted before any model runs.

Here belongs bringing ``ops.commits`` up to date with the raw layer, and what becomes of commits
that have gone. Its cost follows what is new: a table whose listing is as it was when it was last
noted is not looked at. Here does not belong what the models make of them (``run_notes``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo, RawTable
from lakehouse.raw.listing import Listing
from lakehouse.raw.names import is_compacted
from lakehouse.raw.verify import verify_file

if TYPE_CHECKING:
    import duckdb


_LISTED = pa.schema(
    [("batch_id", pa.string()), ("path", pa.string()), ("is_compacted", pa.bool_())]
)


@dataclass(frozen=True, slots=True)
class _Change:
    """A table that is not as it was noted: what is in it now, and the commits that are new."""

    table: RawTable
    listing: Listing
    fresh: list[dict[str, Any]]


def freeze_commits(
    connection: "duckdb.DuckDBPyConnection",
    raw_dir: Path,
    sources: Iterable[tuple[str, str]],
    run: int,
    *,
    is_full_refresh: bool = False,
) -> int:
    """Record which raw commits this run reads: all models of a run see the same ones.

    What is read for the first time, from another file than before, or again, is proven by its
    checksums before: DuckDB does not look at them, and would turn a flipped bit into a wrong value.

    Args:
        connection: The build file.
        raw_dir: The raw layer.
        sources: Pairs of source and table name; the commits of other tables stay as they are.
        run: This run's number.
        is_full_refresh: The run reads old commits again.

    Returns:
        How many commits are new.

    Raises:
        RawFileError: A file that is to be read is damaged; nothing is recorded.
    """
    noted = {
        (source, table): places
        for source, table, places in connection.execute(
            "select source_name, table_name, places from ops.listings"
        ).fetchall()
    }
    changes = []
    for source, name in sorted({*sources}):
        table = RawTable(raw_dir, source, name)
        listing = table.listing()
        if is_full_refresh or noted.get((source, name)) != listing.places:
            rows = _prove(connection, table, listing, run, reads_all=is_full_refresh)
            changes.append(_Change(table, listing, rows))
    connection.begin()
    for change in changes:
        _note(connection, change)
    connection.commit()
    return sum(len(change.fresh) for change in changes)


def _prove(
    connection: "duckdb.DuckDBPyConnection",
    table: RawTable,
    listing: Listing,
    run: int,
    *,
    reads_all: bool,
) -> list[dict[str, Any]]:
    """Verify the files that no run has read; gives the rows of the commits that are new."""
    noted = dict(
        connection.execute(
            "select batch_id, path from ops.commits where source_name = ? and table_name = ?",
            [table.source, table.table],
        ).fetchall()
    )
    fresh: list[dict[str, Any]] = []
    for path, batch_ids in _by_path(table, listing).items():
        name = path.relative_to(table.raw_dir).as_posix()
        if not reads_all and all(noted.get(batch_id) == name for batch_id in batch_ids):
            continue
        infos = {info.batch_id: info for info in verify_file(table, path)}
        fresh += [_row(infos[each], name, run) for each in batch_ids if each not in noted]
    return fresh


def _note(connection: "duckdb.DuckDBPyConnection", change: _Change) -> None:
    """Note what is there, from which file it is read, and what is new."""
    table, name = change.table, [change.table.source, change.table.table]
    listed = [
        {
            "batch_id": batch_id,
            "path": path.relative_to(table.raw_dir).as_posix(),
            "is_compacted": is_compacted(path.stem),
        }
        for path, batch_ids in _by_path(table, change.listing).items()
        for batch_id in batch_ids
    ]
    connection.register("listed_commits", pa.Table.from_pylist(listed, _LISTED))
    of_table = "source_name = $1 and table_name = $2"
    connection.execute(
        f"update ops.commits set is_present = not is_present where {of_table}"
        " and is_present <> (batch_id in (select batch_id from listed_commits))",
        name,
    )
    connection.execute(
        "update ops.commits set path = listed.path, is_compacted = listed.is_compacted"
        f" from listed_commits as listed where {of_table}"
        " and commits.batch_id = listed.batch_id and commits.path <> listed.path",
        name,
    )
    connection.unregister("listed_commits")
    if change.fresh:
        connection.register("fresh_commits", pa.Table.from_pylist(change.fresh))
        connection.execute("insert into ops.commits by name select * from fresh_commits")
        connection.unregister("fresh_commits")
    connection.execute(f"delete from ops.listings where {of_table}", name)
    connection.execute(
        "insert into ops.listings select $1, $2, $3, max(run) from ops.commits"
        f" where {of_table} and is_present",
        [*name, change.listing.places],
    )


def _by_path(table: RawTable, listing: Listing) -> dict[Path, list[str]]:
    """The files that speak for a table's commits, with the commits that each speaks for."""
    found: dict[Path, list[str]] = {}
    for day in listing.days:
        paths = {stem: listing.path_of(day, stem) for stem in {*day.stems.values()}}
        for batch_id in day.batch_ids:
            found.setdefault(paths[day.stems[batch_id]], []).append(batch_id)
    return found


def _row(info: CommitInfo, path: str, run: int) -> dict[str, Any]:
    return {
        "source_name": info.source,
        "table_name": info.table,
        "batch_id": info.batch_id,
        "path": path,
        "is_compacted": is_compacted(Path(path).stem),
        "run": run,
        "is_present": True,
        "row_count": info.rows,
        "upserts": info.upserts,
        "deletes": info.deletes,
        "watermark_before": info.watermark_before,
        "watermark_after": info.watermark_after,
        "extracted_at": info.extracted_at,
    }


def forget_vanished_commits(connection: "duckdb.DuckDBPyConnection") -> None:
    """Forget the commits that have gone; one that comes back is new to every model.

    For a full refresh only: what is not rebuilt still has their rows, and its tests say so.
    """
    connection.execute("delete from ops.commits where not is_present")


def refuse_vanished_commits(
    connection: "duckdb.DuckDBPyConnection", readers: Mapping[str, Sequence[tuple[str, str]]]
) -> None:
    """Stop when a commit that was read before has gone from the raw layer.

    Its rows are still in the tables, so a build would say what a rebuild from raw does not.

    Args:
        connection: The build file, with this run's commits frozen.
        readers: Models that read raw commits, each with its pairs of source and table name.

    Raises:
        LakeError: Such a commit, its table, and how to build without it.
    """
    gone = connection.execute(
        "select source_name, table_name, batch_id, run from ops.commits where not is_present"
        " order by all"
    ).fetchall()
    through = dict(connection.execute("select model, recorded_through from ops.models").fetchall())
    concerned = [
        (commit, model)
        for commit in gone
        for model, sources in readers.items()
        if (commit[0], commit[1]) in sources and through.get(model, 0) >= commit[3]
    ]
    if not concerned:
        return
    (source, table, batch_id, _), _ = concerned[0]
    more = f" and {len(concerned) - 1} more" if len(concerned) > 1 else ""
    selected = " ".join(f"{name}+" for name in sorted({model for _, model in concerned}))
    raise LakeError(
        f"the raw commit {batch_id} of {source}.{table}{more}, which an earlier build has read, is "
        "no longer in the raw layer",
        f"run `lake build --full-refresh -s {selected}` to build from what is there",
    )
