"""What holds publishing back: nodes that are not green, tables that have not seen all commits.

Here belongs deciding whether a build may be published. Here does not belong how it is published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.dbt.nodes import GREEN, SKIPPED, short_name

if TYPE_CHECKING:
    import duckdb

    from lakehouse.dbt.run_notes import Node


@dataclass(frozen=True, slots=True)
class Blocker:
    """A node that holds publishing back, and why: a dbt status or what is missing."""

    unique_id: str
    status: str

    @property
    def name(self) -> str:
        """The node's short name; that of a unit test comes after its model's."""
        return short_name(self.unique_id)


def find_blockers(
    connection: "duckdb.DuckDBPyConnection", nodes: Sequence["Node"], unit_tests: Sequence[str]
) -> list[Blocker]:
    """Find what holds publishing back; nodes that were only skipped because of others come last.

    A node is green when its last run ended well and, for a data test, when that was not before
    the last build of a table it tests: a test that has not seen a table says nothing about it.
    A model must also reflect every commit that a run has seen, so that all tables of a version
    come from one set of commits.

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
    behind = _behind(connection)
    behind_ids = {n.unique_id: behind[n.alias] for n in nodes if n.alias in behind}
    found = []
    for unique_id in [*(node.unique_id for node in nodes), *unit_tests]:
        status, run = last.get(unique_id, ("never run", 0))
        built = [last[p][1] for p in parents.get(unique_id, ()) if p in last]
        if status not in GREEN:
            found.append(Blocker(unique_id, status))
        elif run < max(built, default=0):
            found.append(Blocker(unique_id, "not run since its table was built"))
        elif unique_id in behind_ids:
            found.append(Blocker(unique_id, f"has not seen {behind_ids[unique_id]}"))
    return sorted(found, key=lambda blocker: (blocker.status == SKIPPED, blocker.unique_id))


def _behind(connection: "duckdb.DuckDBPyConnection") -> dict[str, str]:
    """Models that do not reflect all commits that concern them, and how many they lack."""
    rows = connection.execute(
        "select models.model, count(*) from ops.models as models"
        " inner join ops.lineage as lineage on models.model = lineage.model"
        " inner join ops.commits as commits on lineage.source_name = commits.source_name"
        " and lineage.table_name = commits.table_name"
        # First, so that the older runs of very many commits are not even joined.
        " and commits.run > (select min(commits_through) from ops.models)"
        " and commits.run > models.commits_through and commits.is_present"
        " group by models.model"
    ).fetchall()
    return {model: f"{n} new commit{'s' if n > 1 else ''}" for model, n in rows}
