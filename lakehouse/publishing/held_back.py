"""The note that says why the last build was not published.

It is a file beside the build file, so that people and programs can read it while somebody builds.
Here belongs writing, reading and wording it. Here does not belong what holds a build back: that is
the word of ``blockers``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.dbt.nodes import SKIPPED
from lakehouse.files import write_text_atomically
from lakehouse.publishing.blockers import Blocker
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A build that was not published: since when, and the short name of each node to its status.

    Nodes that were only skipped because of others come last.
    """

    at: datetime
    nodes: Mapping[str, str]


def held_back_file(settings: Settings) -> Path:
    """Exists while a build is held back."""
    return settings.build_dir / "held_back.json"


def write_held_back(settings: Settings, blockers: Sequence[Blocker]) -> HeldBack:
    """Record what holds a build back.

    Args:
        settings: The project.
        blockers: The nodes that are not green; at least one.
    """
    at = datetime.now(UTC).replace(microsecond=0)
    nodes = [{"unique_id": b.unique_id, "status": b.status} for b in blockers]
    note = {"at": at.isoformat(), "nodes": nodes}
    write_text_atomically(held_back_file(settings), json.dumps(note, indent=2) + "\n")
    return HeldBack(at, {blocker.name: blocker.status for blocker in blockers})


def read_held_back(settings: Settings) -> HeldBack | None:
    """Read what holds publishing back; None when nothing does."""
    try:
        note = json.loads(held_back_file(settings).read_text(encoding="utf-8"))
        blockers = [Blocker(str(n["unique_id"]), str(n["status"])) for n in note["nodes"]]
        return HeldBack(datetime.fromisoformat(note["at"]), {b.name: b.status for b in blockers})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def name_nodes(nodes: Mapping[str, str], most: int = 5) -> str:
    """Say which nodes are not green, the causes before what was skipped because of them.

    Args:
        nodes: Short name to status.
        most: How many are named; the others are counted.
    """
    causes = [f"{name} ({status})" for name, status in nodes.items() if status != SKIPPED]
    skipped = [name for name, status in nodes.items() if status == SKIPPED]
    if not causes:
        return _some([f"{name} ({SKIPPED})" for name in skipped], most)
    return _some(causes, most) + (f"; {len(skipped)} skipped because of them" if skipped else "")


def _some(named: Sequence[str], most: int) -> str:
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more
