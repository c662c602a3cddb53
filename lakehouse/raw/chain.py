"""Whether commits still stand on those that were there when they were landed.

A commit of a table that is read by watermark leaves out the rows that the commits before it hold,
so its footer identifies all of them (``FOLLOWS``) and names the one before (``PREVIOUS``). A commit
of a stream's records says which offsets of its partition it holds.

Here belongs finding what has gone by comparing footers. Here does not belong what an extractor does
about it: it derives its state from the same digests.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lakehouse.raw.commits import CommitInfo

FOLLOWS = "follows"
"""Key in a footer's details: ``prefix_digest`` of the commits before it."""
PREVIOUS = "previous"
"""Key in a footer's details: the batch id of the commit before it; None for the first."""

_RECORDS = "event_at_min"
"""Only commits that hold every record between two offsets have this in their details."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing between commits.

    Attributes:
        batch_id: The commit that has gone, as far as it is known; else the first that misses it.
        cause: What is missing, as a sentence without its end.
    """

    batch_id: str
    cause: str


def prefix_digest(batch_ids: Iterable[str]) -> str:
    """Identify a sequence of commits: 16 hexadecimal digits of a SHA-256 of their ids."""
    text = "\n".join([*batch_ids, ""])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prefix_digests(batch_ids: Iterable[str]) -> list[str]:
    """``prefix_digest`` of no ids, of the first, of the first two, and so on."""
    running = hashlib.sha256()
    digests = [running.hexdigest()[:16]]
    for batch_id in batch_ids:
        running.update(f"{batch_id}\n".encode())
        digests.append(running.hexdigest()[:16])
    return digests


def find_gaps(infos: Sequence[CommitInfo]) -> list[Gap]:
    """What has gone from a table.

    A gap that the extractor has closed by landing what was lost again is none: the newest commit
    then stands on all that is there.

    Args:
        infos: The footers of all commits of one table, in batch order.
    """
    if any(FOLLOWS in info.details for info in infos):
        return _gaps_before_digests(infos)
    if any(_RECORDS in info.details for info in infos):
        return _gaps_of_offsets(infos)
    return _gaps_of_watermarks(infos)


def _gaps_before_digests(infos: Sequence[CommitInfo]) -> list[Gap]:
    digests = prefix_digests(info.batch_id for info in infos)
    agreeing = [
        place for place, info in enumerate(infos) if info.details.get(FOLLOWS) == digests[place]
    ]
    after = infos[agreeing[-1] + 1 :] if agreeing else infos
    present = {info.batch_id for info in infos}
    gaps = []
    for info in after:
        previous = info.details.get(PREVIOUS)
        if previous is not None and previous not in present:
            cause = f"it has gone, and {info.batch_id} was landed after it"
            gaps.append(Gap(previous, cause))
    if after and not gaps:
        cause = "other commits lie before it than when it was landed"
        gaps.append(Gap(after[0].batch_id, cause))
    return gaps


def _gaps_of_watermarks(infos: Sequence[CommitInfo]) -> list[Gap]:
    reached: set[str | None] = {None}
    gaps = []
    for info in infos:
        if info.watermark_before not in reached:
            cause = f"no commit before it reaches {info.watermark_before}, from where it goes on"
            gaps.append(Gap(info.batch_id, cause))
        reached.add(info.watermark_after)
    return gaps


def _gaps_of_offsets(infos: Sequence[CommitInfo]) -> list[Gap]:
    """Offsets that no commit holds and no footer explains.

    ``after_offset`` in a footer is the last offset that had landed before: what lies between it and
    the first one is nobody's event, such as the markers of transactions.
    """
    landed: dict[tuple[str, int], int] = {}
    gaps = []
    records = [info for info in infos if _RECORDS in info.details]
    for info in sorted(records, key=lambda info: int(info.details["first_offset"])):
        first = int(info.details["first_offset"])
        partition = (str(info.details.get("log_id")), int(info.details["partition"]))
        follows = int(info.details.get("after_offset", first - 1))
        nothing = -1 if "after_offset" in info.details else follows
        before = landed.get(partition, nothing)
        if follows > before:
            cause = (
                f"offsets {before + 1:,} to {follows:,} of partition {partition[1]}, just before "
                "those that it holds, are in no commit"
            )
            gaps.append(Gap(info.batch_id, cause))
        landed[partition] = max(before, int(info.details["last_offset"]))
    return gaps
