"""The notes in the build file: runs, the raw commits they saw, what each node came to.

They live in the schema ``ops`` of the build file itself, so that they are lost and made again
together with the tables they speak of. Here belongs writing them. Here does not belong deciding
whether a build may be published (``lakehouse.publishing.blockers``).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo, RawTable, verify_commit

if TYPE_CHECKING:
    import duckdb

_TABLES = """
create schema if not exists ops;
create table if not exists ops.runs (
    run bigint not null, started_at timestamptz not null, code varchar not null
);
create table if not exists ops.nodes (
    unique_id varchar not null, status varchar not null, run bigint not null
);
create table if not exists ops.commits (
    source_name varchar not null, table_name varchar not null, batch_id varchar not null,
    path varchar not null, -- below the raw folder, so that a checkout can be moved
    run bigint not null, -- the first that saw it
    is_present boolean not null,
    row_count bigint not null, upserts bigint not null, deletes bigint not null,
    watermark_before varchar, watermark_after varchar, extracted_at timestamptz not null
);
create table if not exists ops.lineage (
    model varchar not null, source_name varchar not null, table_name varchar not null
);
create table if not exists ops.newest_commits (model varchar not null, newest_run bigint not null);
create table if not exists ops.model_runs (
    model varchar not null, run bigint not null, commits_through bigint not null,
    rebuilt_in bigint not null, replaced_in bigint not null, code varchar not null
);
"""
"""What ``macros/incremental`` reads and writes; ``docs/how-a-build-works.md`` explains it.

No keys: models of one run append to ``ops.model_runs`` from several threads, and a unique index
would make these transactions conflict.
"""

_MODELS = """
create or replace view ops.models as
select
    model,
    run,
    rebuilt_in,
    replaced_in,
    code,
    recorded_through,
    case
        when recorded_through >= coalesce(newest_run, 0) then (select max(run) from ops.runs)
        else recorded_through
    end as commits_through
from (
    select
        model, max(run) as run, max(rebuilt_in) as rebuilt_in, max(replaced_in) as replaced_in,
        max_by(commits_through, run) as recorded_through, max_by(code, run) as code
    from ops.model_runs
    group by model
) as last_runs
left join ops.newest_commits using (model);
"""
"""A model reflects the commits that runs up to ``commits_through`` were the first to see: those up
to what it recorded itself, and all others as long as none of them concerns it."""

LAYOUT = hashlib.sha256(f"{_TABLES}{_MODELS}".encode()).hexdigest()[:16]
"""Names this shape of the notes: a build file that has another one is built again."""

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


def ensure_tables(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the tables of the notes if they are missing."""
    connection.execute(_TABLES)
    connection.execute(_MODELS)
    connection.execute(f"create table if not exists ops.layout as select '{LAYOUT}' as layout")


def has_other_layout(connection: "duckdb.DuckDBPyConnection") -> bool:
    """Whether a build file has notes, but of another version of this project."""
    found = {
        row[0]
        for row in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'ops'"
        ).fetchall()
    }
    if not found:
        return False
    if "layout" not in found:
        return True
    return connection.execute("select layout from ops.layout").fetchall() != [(LAYOUT,)]


def freeze_commits(
    connection: "duckdb.DuckDBPyConnection",
    raw_dir: Path,
    sources: Iterable[tuple[str, str]],
    run: int,
    *,
    is_full_refresh: bool = False,
) -> int:
    """Record which raw commits this run reads: all models of a run see the same ones.

    What is read for the first time, or again, is proven by its checksums before: DuckDB does not
    look at them, and would turn a flipped bit into a wrong value.

    Args:
        connection: The build file.
        raw_dir: The raw layer.
        sources: Pairs of source and table name; the commits of other tables stay as they are.
        run: This run's number.
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
    listed = set(sources)
    for source, name in sorted(listed):
        table = RawTable(raw_dir, source, name)
        for path in table.commits():
            key = (source, name, path.stem)
            present.add(key)
            if key not in known:
                info = verify_commit(table, path)
                fresh.append(_commit_row(info, path.relative_to(raw_dir), run))
            elif is_full_refresh:
                verify_commit(table, path)
    changed = [
        key
        for key, was_present in known.items()
        if key[:2] in listed and was_present != (key in present)
    ]
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


def _commit_row(info: CommitInfo, path: Path, run: int) -> dict[str, Any]:
    return {
        "source_name": info.source,
        "table_name": info.table,
        "batch_id": info.batch_id,
        "path": path.as_posix(),
        "run": run,
        "is_present": True,
        "row_count": info.rows,
        "upserts": info.upserts,
        "deletes": info.deletes,
        "watermark_before": info.watermark_before,
        "watermark_after": info.watermark_after,
        "extracted_at": info.extracted_at,
    }


def begin_run(connection: "duckdb.DuckDBPyConnection", code: str) -> int:
    """Number a run and drop what the models recorded before their last one.

    Args:
        connection: The build file.
        code: Fingerprint of the code that all models share; another one rebuilds them.

    Returns:
        The run's number, greater than those of all runs before.
    """
    connection.begin()
    connection.execute(
        "insert into ops.runs select coalesce(max(run), 0) + 1, get_current_timestamp(), ?"
        " from ops.runs",
        [code],
    )
    connection.execute(
        "delete from ops.model_runs as old using ops.models as last"
        " where old.model = last.model and old.run < last.run"
    )
    connection.commit()
    return _current_run(connection)


def record_lineage(connection: "duckdb.DuckDBPyConnection", nodes: Sequence[Node]) -> None:
    """Record from which raw tables each model is made, and which run saw the newest commit there.

    Call it when the run's commits are frozen.

    Args:
        connection: The build file.
        nodes: The models of the project, with what they read.
    """
    lineage = [
        {"model": node.alias, "source_name": source, "table_name": table}
        for node in nodes
        for source, table in sorted(sources_of(node.unique_id, nodes))
    ]
    connection.begin()
    connection.execute("delete from ops.lineage")
    if lineage:
        connection.register("all_lineage", pa.Table.from_pylist(lineage))
        connection.execute("insert into ops.lineage by name select * from all_lineage")
        connection.unregister("all_lineage")
    connection.execute("delete from ops.newest_commits")
    connection.execute(
        "insert into ops.newest_commits select model, max(run) from ops.lineage"
        " inner join ops.commits using (source_name, table_name) where is_present group by model"
    )
    connection.commit()


def sources_of(unique_id: str, nodes: Sequence[Node]) -> set[tuple[str, str]]:
    """The raw tables, as pairs of source and table name, that a node is made from."""
    parents = {node.unique_id: node.parents for node in nodes}
    found: set[tuple[str, str]] = set()
    open_ids, seen = [unique_id], {unique_id}
    while open_ids:
        for parent in parents.get(open_ids.pop(), ()):
            if parent.startswith("source."):
                found.add(_source_of(parent))
            elif parent not in seen:
                seen.add(parent)
                open_ids.append(parent)
    return found


def direct_sources(node: Node) -> list[tuple[str, str]]:
    """The raw tables that a node reads itself."""
    return [_source_of(parent) for parent in node.parents if parent.startswith("source.")]


def sources_read(nodes: Sequence[Node], selected: Iterable[str]) -> set[str]:
    """The sources of which a run reads new commits: those of the selected models that read raw.

    All tables of a source or none: what was extracted together is built together.
    """
    chosen = {*selected}
    return {
        source
        for node in nodes
        if node.unique_id in chosen and node.resource_type == "model"
        for source, _ in direct_sources(node)
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


def _source_of(unique_id: str) -> tuple[str, str]:
    _, _, source, table = unique_id.split(".", 3)
    return source, table


def _current_run(connection: "duckdb.DuckDBPyConnection") -> int:
    row = connection.execute("select max(run) from ops.runs").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _record(connection: "duckdb.DuckDBPyConnection", statuses: Mapping[str, str]) -> None:
    if not statuses:
        return
    run = _current_run(connection)
    connection.begin()
    connection.execute(
        "delete from ops.nodes where unique_id in (select unnest($ids))", {"ids": list(statuses)}
    )
    connection.execute(
        "insert into ops.nodes select unnest($ids), unnest($statuses), $run",
        {"ids": list(statuses), "statuses": list(statuses.values()), "run": run},
    )
    connection.commit()
