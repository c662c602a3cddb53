"""Records between their decision and their landing: what was decided, where each was on its topic.

Here belongs the shape of what a partition holds until the next checkpoint: columns, because Python
objects for each of some ten thousand records are what costs memory. Deciding is in ``processor``,
writing in ``landing``.
"""

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from streaming.events import Event
from streaming.window_state import Device
from streaming.windows import OUTCOMES

_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_ROW_BYTES = 200
"""What a valid record takes in memory without its payload, roughly."""


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
        offsets: Of the valid events. Likewise all that follows but ``rejected``.
        broker_us: Broker timestamps, microseconds since 1970 UTC.
        outcomes: Places in ``windows.OUTCOMES``.
        devices: Names.
        at_us: Event times.
        watermarks: The device's watermark afterwards.
        heard: The partition's clock as the device heard it.
        values: The measures in millionths, event by event.
        attributes: The text fields, event by event.
        payloads: Place and original bytes of those that say more than the columns do.
        rejected: The records that are no valid event.
        held_bytes: Memory that all this takes, roughly.
        stamped: The newest broker timestamp is the broker's own, not its producer's.
    """

    __slots__ = (
        "at_us",
        "attributes",
        "broker_us",
        "devices",
        "first_offset",
        "heard",
        "held_bytes",
        "last_offset",
        "offsets",
        "outcomes",
        "payloads",
        "rejected",
        "stamped",
        "values",
        "watermarks",
    )

    def __init__(self) -> None:
        self.first_offset = -1
        self.last_offset = -1
        self.offsets = array("q")
        self.broker_us = array("q")
        self.outcomes = bytearray()
        self.devices: list[str] = []
        self.at_us = array("q")
        self.watermarks = array("q")
        self.heard = array("q")
        self.values = array("q")
        self.attributes: list[str] = []
        self.payloads: list[tuple[int, bytes]] = []
        self.rejected: list[RejectedRecord] = []
        self.held_bytes = 0
        self.stamped = True

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self.offsets) + len(self.rejected)

    def add(
        self,
        offset: int,
        broker_us: int,
        outcome: str,
        event: Event,
        device: Device,
        payload: bytes | None,
    ) -> None:
        """Keep a valid event.

        Args:
            offset: Its offset.
            broker_us: Its broker timestamp, microseconds since 1970 UTC.
            outcome: Accepted, late or duplicate, see ``windows``.
            event: What it says.
            device: Its device, as the event has left it.
            payload: Its original bytes, if they say more than the event does; else None.
        """
        self.offsets.append(offset)
        self.broker_us.append(broker_us)
        self.outcomes.append(_CODES[outcome])
        self.devices.append(device.name)
        self.at_us.append(event[1])
        self.watermarks.append(device.watermark)
        self.heard.append(device.heard)
        self.values.extend(event[2])
        if event[3]:
            self.attributes.extend(event[3])
        held = _ROW_BYTES
        if payload is not None:
            self.payloads.append((len(self.offsets) - 1, payload))
            held += len(payload)
        self.held_bytes += held
        self._span(offset)

    def reject(self, record: RejectedRecord) -> None:
        """Keep a record that is no valid event."""
        self.rejected.append(record)
        self.held_bytes += _ROW_BYTES + len(record.payload or b"") + len(record.key or b"")
        self._span(record.offset)

    def _span(self, offset: int) -> None:
        if self.first_offset < 0:
            self.first_offset = offset
        self.last_offset = offset

    def until(
        self, offset: int, measures: int, attributes: int
    ) -> Iterator["RejectedRecord | tuple[int, int, Event, bytes | None]"]:
        """The records before an offset, in their order.

        Rejected ones as they are; of the others offset, broker timestamp, event and payload.

        Args:
            offset: The first that is left out.
            measures: How many an event has.
            attributes: How many an event has.
        """
        payloads, rejected = dict(self.payloads), iter(self.rejected)
        refused = next(rejected, None)
        for place, mine in enumerate(self.offsets):
            while refused is not None and refused.offset < min(mine, offset):
                yield refused
                refused = next(rejected, None)
            if mine >= offset:
                return
            values = tuple(self.values[place * measures : (place + 1) * measures])
            texts = tuple(self.attributes[place * attributes : (place + 1) * attributes])
            payload = payloads.get(place)
            event = Event(
                self.devices[place], self.at_us[place], values, texts, payload is not None
            )
            yield mine, self.broker_us[place], event, payload
        while refused is not None and refused.offset < offset:
            yield refused
            refused = next(rejected, None)
