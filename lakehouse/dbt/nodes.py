"""dbt's words about its nodes: which statuses are green, and what a node is called.

Here belongs what the notes, the results of a run and Dagster must read alike. Here does not belong
reading dbt's files (``lakehouse.dbt.results``).
"""

GREEN = frozenset({"success", "pass", "warn", "no-op", "reused"})
"""Statuses of a node that ended well."""
SKIPPED = "skipped"
"""The status of a node that did not run because another one failed."""


def short_name(unique_id: str) -> str:
    """A node's name without its kind and package; that of a unit test comes after its model's.

    Args:
        unique_id: dbt's name of the node.
    """
    kind, _, *names = unique_id.split(".")
    return names[1] if kind == "unit_test" else names[0]
