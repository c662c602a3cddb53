"""Records between their decision and their landing: what was decided, where each was on its topic.

Here belongs the shape of what a partition holds until the next checkpoint. Deciding is in
``processor``, writing in ``landing``.
"""

from typing import NamedTuple

from streaming.events import Event


class EventRecord(NamedTuple):
    """A record that is a valid event.

    A tuple, not a dataclass: one is made for every record, in a third of the time.

    Attributes:
        offset: Its offset in the partition.
        broker_us: Its broker timestamp, microseconds since 1970 UTC.
        outcome: Accepted, late or duplicate, see ``windows``.
        event: What it says.
        key: Its key, as it came.
        payload: Its original bytes, if they say more than the event does; else None.
    """

    offset: int
    broker_us: int
    outcome: str
    event: Event
    key: bytes | None
    payload: bytes | None


class RejectedRecord(NamedTuple):
    """A record that is no valid event.

    Attributes:
        offset: Its offset in the partition.
        broker_us: Its broker timestamp, microseconds since 1970 UTC.
        reasons: Everything that is wrong with it.
        key: Its key, as it came.
        payload: Its original bytes.
    """

    offset: int
    broker_us: int
    reasons: tuple[str, ...]
    key: bytes | None
    payload: bytes | None


class RecordBatch:
    """One partition's records since the last checkpoint, in the order of their offsets.

    Attributes:
        first_offset: Offset of the first record; -1 without any. Likewise ``last_offset``.
        events: Those that are valid.
        rejected: Those that are not.
        payload_bytes: Original bytes held for rejected records.
    """

    __slots__ = ("events", "first_offset", "last_offset", "payload_bytes", "rejected")

    def __init__(self) -> None:
        self.first_offset = -1
        self.last_offset = -1
        self.events: list[EventRecord] = []
        self.rejected: list[RejectedRecord] = []
        self.payload_bytes = 0

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self.events) + len(self.rejected)
