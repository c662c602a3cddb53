"""The ledger of the build file: which nodes are green, and which raw commits there are.

It lives in the schema ``ops`` of the build file itself, so that it is lost and rebuilt together
with the tables it speaks of. Here belongs deciding whether a build may be published. Here does not
belong how it is published.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.dbt.nodes import GREEN, SKIPPED, short_name
from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo, RawTable, verify_commit

if TYPE_CHECKING:
    import duckdb

_TABLES = """
create schema if not exists ops;
create table if not exists ops.nodes (
    unique_id varchar not null, status varchar not null, run bigint not null
);
create table if not exists ops.commits (
    source_name varchar not null, table_name varchar not null, batch_id varchar not null,
    path varchar not null, -- below the raw folder, so that a checkout can be moved
    is_present boolean not null,
    row_count bigint not null, upserts bigint not null, deletes bigint not null,
    watermark_before varchar, watermark_after varchar, extracted_at timestamptz not null
);
create table if not exists ops.consumed (consumer varchar not null, batch_id varchar not null);
"""
"""No keys: models of one run append to ``ops.consumed`` from several threads, and a unique index
would make these transactions conflict."""

_RUNNING = "interrupted"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the dbt project that is built or tested.

    Attributes:
        unique_id: dbt's id.
        resource_type: ``model``, ``seed``, ``snapshot`` or ``test``.
        schema_name: Where it is built.
        alias: The name it is built as.
        parents: Unique ids of what it reads.
    """

    unique_id: str
    resource_type: str
    schema_name: str
    alias: str
    parents: Sequence[str]


@dataclass(frozen=True, slots=True)
class Blocker:
    """A node that holds publishing back, and why: a dbt status or what is missing."""

    unique_id: str
    status: str

    @property
    def name(self) -> str:
        """The node's short name; that of a unit test comes after its model's."""
        return short_name(self.unique_id)


def ensure_tables(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the ledger's tables if they are missing."""
    connection.execute(_TABLES)


def freeze_commits(
    connection: "duckdb.DuckDBPyConnection",
    raw_dir: Path,
    sources: Iterable[tuple[str, str]],
    *,
    is_full_refresh: bool = False,
) -> int:
    """Record which raw commits this run reads: all models of a run see the same ones.

    What is read for the first time, or again, is proven by its checksums before: DuckDB does not
    look at them, and would turn a flipped bit into a wrong value.

    Args:
        connection: The build file.
        raw_dir: The raw layer.
        sources: Pairs of source and table name.
        is_full_refresh: The run reads old commits again.

    Returns:
        How many commits are new.

    Raises:
        RawFileError: A commit that is to be read is damaged; nothing is recorded.
    """
    known = {
        (source, table, batch_id): is_present
        for source, table, batch_id, is_present in connection.execute(
            "select source_name, table_name, batch_id, is_present from ops.commits"
        ).fetchall()
    }
    present: set[tuple[str, str, str]] = set()
    fresh: list[dict[str, Any]] = []
    for source, name in sources:
        table = RawTable(raw_dir, source, name)
        for path in table.commits():
            key = (source, name, path.stem)
            present.add(key)
            if key not in known:
                fresh.append(_commit_row(verify_commit(table, path), path.relative_to(raw_dir)))
            elif is_full_refresh:
                verify_commit(table, path)
    changed = [key for key, was_present in known.items() if was_present != (key in present)]
    connection.begin()
    for key in changed:
        connection.execute(
            "update ops.commits set is_present = not is_present"
            " where source_name = ? and table_name = ? and batch_id = ?",
            key,
        )
    if fresh:
        connection.register("fresh_commits", pa.Table.from_pylist(fresh))
        connection.execute("insert into ops.commits by name select * from fresh_commits")
        connection.unregister("fresh_commits")
    connection.commit()
    return len(fresh)


def forget_vanished_commits(connection: "duckdb.DuckDBPyConnection") -> None:
    """Let every model forget the commits that have gone; one that comes back is new to all.

    For a full refresh only: what is not rebuilt still has their rows, and its tests say so.
    """
    connection.execute(
        "delete from ops.consumed"
        " where batch_id in (select batch_id from ops.commits where not is_present)"
    )


def refuse_vanished_commits(
    connection: "duckdb.DuckDBPyConnection", readers: Sequence[str]
) -> None:
    """Stop when a commit that was read before has gone from the raw layer.

    Its rows are still in the tables, so a build would say what a rebuild from raw does not.

    Args:
        connection: The build file, with this run's commits frozen.
        readers: Names of the models that read raw commits.

    Raises:
        LakeError: Such a commit, its table, and how to build without it.
    """
    gone = connection.execute(
        "select source_name, table_name, commits.batch_id, consumer"
        " from ops.commits inner join ops.consumed using (batch_id)"
        " where not is_present and consumer in (select unnest($readers))"
        " order by all",
        {"readers": list(readers)},
    ).fetchall()
    if not gone:
        return
    source, table, batch_id, _ = gone[0]
    more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    concerned = " ".join(f"{name}+" for name in sorted({consumer for *_, consumer in gone}))
    raise LakeError(
        f"the raw commit {batch_id} of {source}.{table}{more}, which an earlier build has read, is "
        "no longer in the raw layer",
        f"run `lake build --full-refresh -s {concerned}` to build from what is there",
    )


def _commit_row(info: CommitInfo, path: Path) -> dict[str, Any]:
    return {
        "source_name": info.source,
        "table_name": info.table,
        "batch_id": info.batch_id,
        "path": path.as_posix(),
        "is_present": True,
        "row_count": info.rows,
        "upserts": info.upserts,
        "deletes": info.deletes,
        "watermark_before": info.watermark_before,
        "watermark_after": info.watermark_after,
        "extracted_at": info.extracted_at,
    }


def start_run(connection: "duckdb.DuckDBPyConnection", selected: Iterable[str]) -> None:
    """Record what a run is about to touch: until it ends, none of that counts as green.

    A killed run never ends, so what it had begun holds publishing back until it is built again.
    """
    _record(connection, dict.fromkeys(selected, _RUNNING))


def finish_run(connection: "duckdb.DuckDBPyConnection", results: Mapping[str, str]) -> None:
    """Record the status of every node that a run has finished.

    Args:
        connection: The build file.
        results: Unique id to dbt status.
    """
    _record(connection, results)


def blockers(
    connection: "duckdb.DuckDBPyConnection", nodes: Sequence[Node], unit_tests: Sequence[str]
) -> list[Blocker]:
    """Find what holds publishing back; nodes that were only skipped because of others come last.

    A node is green when its last run ended well and, for a data test, when that was not before
    the last build of a table it tests: a test that has not seen a table says nothing about it.

    Args:
        connection: The build file.
        nodes: Every enabled model, seed, snapshot and data test of the project.
        unit_tests: Unique ids of its unit tests.
    """
    last = {
        unique_id: (status, run)
        for unique_id, status, run in connection.execute(
            "select unique_id, status, run from ops.nodes"
        ).fetchall()
    }
    parents = {node.unique_id: node.parents for node in nodes if node.resource_type == "test"}
    found = []
    for unique_id in [*(node.unique_id for node in nodes), *unit_tests]:
        status, run = last.get(unique_id, ("never run", 0))
        built = [last[p][1] for p in parents.get(unique_id, ()) if p in last]
        if status not in GREEN:
            found.append(Blocker(unique_id, status))
        elif run < max(built, default=0):
            found.append(Blocker(unique_id, "not run since its table was built"))
    return sorted(found, key=lambda blocker: (blocker.status == SKIPPED, blocker.unique_id))


def _record(connection: "duckdb.DuckDBPyConnection", statuses: Mapping[str, str]) -> None:
    if not statuses:
        return
    connection.begin()
    row = connection.execute("select coalesce(max(run), 0) + 1 from ops.nodes").fetchone()
    run = row[0] if row else 1
    connection.execute(
        "delete from ops.nodes where unique_id in (select unnest($ids))", {"ids": list(statuses)}
    )
    connection.executemany(
        "insert into ops.nodes values (?, ?, ?)",
        [(unique_id, status, run) for unique_id, status in statuses.items()],
    )
    connection.commit()
