"""What dbt left behind after a run.

Here belongs reading its artifacts. Here does not belong running it (``lakehouse.dbt.run``).
"""

import json
from dataclasses import dataclass

from lakehouse.dbt.nodes import GREEN, SKIPPED, short_name
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class NodeResult:
    """How one dbt node ended.

    Attributes:
        unique_id: dbt's name of it, for example ``test.lakehouse.unique_fct_sales``.
        status: dbt's word for it.
        message: dbt's explanation; None if it has none.
        seconds: How long it took.
    """

    unique_id: str
    status: str
    message: str | None
    seconds: float

    @property
    def name(self) -> str:
        """Its short name."""
        return short_name(self.unique_id)

    @property
    def explanation(self) -> str:
        """The message on one line; without one, dbt's word for how it ended."""
        return " ".join((self.message or self.status).split())

    @property
    def is_table(self) -> bool:
        """Whether it is something that is built: a model, a seed or a snapshot."""
        return self.unique_id.startswith(("model.", "seed.", "snapshot."))

    @property
    def is_test(self) -> bool:
        """Whether it is a data test or a unit test."""
        return self.unique_id.startswith(("test.", "unit_test."))

    @property
    def is_green(self) -> bool:
        """Whether it ended well."""
        return self.status in GREEN

    @property
    def is_skipped(self) -> bool:
        """Whether it did not run because another one failed."""
        return self.status == SKIPPED


@dataclass(frozen=True, slots=True)
class RunResults:
    """The results of dbt's last run: its invocation id, its nodes, and its length in seconds."""

    invocation_id: str
    nodes: tuple[NodeResult, ...]
    seconds: float

    @property
    def tests_passed(self) -> int:
        """Tests and unit tests that ended well."""
        return sum(node.is_test and node.is_green for node in self.nodes)

    @property
    def warned(self) -> tuple[NodeResult, ...]:
        """Tests that found something and only warn of it; they are green."""
        return tuple(node for node in self.nodes if node.status == "warn")

    @property
    def red(self) -> tuple[NodeResult, ...]:
        """Nodes that did not end well, those skipped because of others last."""
        red = [node for node in self.nodes if not node.is_green]
        return tuple(sorted(red, key=lambda node: node.is_skipped))


def read_run_results(settings: Settings) -> RunResults | None:
    """Read ``target/run_results.json``; None when there is none that can be read."""
    path = settings.dbt_dir / "target" / "run_results.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        nodes = tuple(
            NodeResult(
                unique_id=str(node["unique_id"]),
                status=str(node["status"]),
                message=node.get("message"),
                seconds=float(node.get("execution_time") or 0),
            )
            for node in document["results"]
        )
        invocation_id = str(document["metadata"]["invocation_id"])
        return RunResults(invocation_id, nodes, float(document.get("elapsed_time") or 0))
    except (OSError, ValueError, KeyError, TypeError):
        return None
