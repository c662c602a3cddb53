"""What the demo reports: measured numbers, each read from where it is true.

Rows come from queries on the published file, commits and watermarks from the raw footers, tests
from dbt's results. Rendering is in ``demo.cli``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from demo.memory import MEASURE
from demo.run import DemoRun, StepDone
from lakehouse.errors import LakeError
from lakehouse.files import write_text_atomically
from lakehouse.settings import Settings
from lakehouse.status import SourceTable, collect


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The demo's result.

    Attributes:
        ended_at: When it ended (UTC).
        version: The version that readers now see.
        sources: Every source table with its rows in each layer and its watermark.
        marts: ``schema.table`` to rows.
        tests_passed: In the last build.
        tests_total: In the last build.
        steps: Steps with their seconds.
        seconds: Length of the whole.
        peak_memory_bytes: Of all processes together.
        memory_measure: How memory was measured: PSS or USS.
    """

    ended_at: datetime
    version: str
    sources: tuple[SourceTable, ...]
    marts: Mapping[str, int]
    tests_passed: int
    tests_total: int
    steps: tuple[StepDone, ...]
    seconds: float
    peak_memory_bytes: int
    memory_measure: str = MEASURE


def summarize(settings: Settings, run: DemoRun) -> Summary:
    """Read the numbers and keep them in ``data/state/demo.json``.

    Raises:
        LakeError: Nothing is published after all.
    """
    found = collect(settings)
    if found.published is None:
        raise LakeError("the demo ended without a published version", "run `lake doctor`")
    last = run.builds[-1]
    summary = Summary(
        ended_at=datetime.now(UTC),
        version=found.published.id,
        sources=found.sources,
        marts=found.marts,
        tests_passed=last.tests_passed,
        tests_total=sum(node.is_test for node in last.nodes),
        steps=run.steps,
        seconds=round(run.seconds, 3),
        peak_memory_bytes=run.peak_memory_bytes,
    )
    text = json.dumps(asdict(summary), default=datetime.isoformat, indent=2)
    write_text_atomically(summary_path(settings), text + "\n")
    return summary


def summary_path(settings: Settings) -> Path:
    """Where the summary of the last demo is kept."""
    return settings.state_dir / "demo.json"
