"""The state of a partition's windows: what it is, its bytes, and keeping it in a state store.

State is counted in memory and written to the store once a checkpoint: reading and writing it at
each event would be most of the work. Here belongs everything that has to survive the process. Which
event counts is in ``windows``; the store, its changelog topic and the recovery from it are Quix's.
"""

import logging
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from streaming.config import MINUTE_US

_log = logging.getLogger(__name__)

FORMAT = 2
"""Raise it when the encoding or the meaning of a window changes: older state is then ignored and
the open windows are counted again from the topic, or from raw by dbt."""
NEVER = 1 << 62
"""A moment that no watermark reaches."""
_CLOCK = b"clock"
_DEVICES = b"devices"
_PREFIX = b""


class Window:
    """One device's tumbling window of one minute, counted so far.

    Attributes:
        start: Its first microsecond, since 1970 UTC.
        count: Events in it, duplicates apart.
        duplicates: Events that came again while it was open.
        sums: Sum of each measure, millionths. Likewise ``lows`` and ``highs``.
        seen: Microsecond within the minute of each event counted.
        version: Offset of the last record that changed it.
        emitted: It has been emitted while still open, because its device was silent.
        closed: No record can change it any more.
    """

    __slots__ = (
        "closed",
        "count",
        "duplicates",
        "emitted",
        "highs",
        "lows",
        "seen",
        "start",
        "sums",
        "version",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        self.count = 0
        self.duplicates = 0
        self.sums: list[int] = []
        self.lows: list[int] = []
        self.highs: list[int] = []
        self.seen: set[int] = set()
        self.version = -1
        self.emitted = False
        self.closed = False

    @property
    def end(self) -> int:
        """The first microsecond after it."""
        return self.start + MINUTE_US

    @property
    def is_final(self) -> bool:
        """Whether readers may take it as it is: it is closed, or has been emitted."""
        return self.closed or self.emitted

    def add(self, values: tuple[int, ...]) -> None:
        """Count one more event."""
        self.count += 1
        if not self.sums:
            self.sums, self.lows, self.highs = list(values), list(values), list(values)
            return
        sums, lows, highs = self.sums, self.lows, self.highs
        for place, value in enumerate(values):
            sums[place] += value
            if value < lows[place]:
                lows[place] = value
            elif value > highs[place]:
                highs[place] = value


@dataclass(slots=True)
class Device:
    """One device's watermark and open windows.

    Attributes:
        watermark: The newest event time it has shown, microseconds since 1970 UTC.
        heard: The broker's timestamp when it showed it.
        windows: Its open windows by start.
        earliest: Start of the first of them to close; ``NEVER`` without any.
    """

    watermark: int = -1
    heard: int = 0
    windows: dict[int, Window] = field(default_factory=dict)
    earliest: int = NEVER

    def find_earliest(self) -> None:
        """Bring ``earliest`` up to date after a window was opened or closed."""
        self.earliest = min(self.windows, default=NEVER)


@dataclass(slots=True)
class PartitionState:
    """What a partition's later records need to know of its earlier ones.

    Attributes:
        broker_us: The newest broker timestamp seen, microseconds since 1970 UTC.
        devices: The devices by name.
        touched: Devices that have changed since the state was last saved.
    """

    broker_us: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)


def encode_device(device: Device) -> bytes:
    """The bytes of a device's watermark and open windows."""
    windows = [
        [
            window.start,
            window.count,
            window.duplicates,
            window.sums,
            window.lows,
            window.highs,
            window.version,
            window.emitted,
            b64encode(array("I", sorted(window.seen)).tobytes()).decode(),
        ]
        for window in device.windows.values()
    ]
    return orjson.dumps([FORMAT, device.watermark, device.heard, windows])


def decode_device(data: bytes) -> Device | None:
    """A device from its bytes; None if another format wrote them.

    Raises:
        ValueError: They are damaged.
    """
    fields = orjson.loads(data)
    if fields[0] != FORMAT:
        return None
    _, watermark, heard, rows = fields
    device = Device(watermark, heard)
    for start, count, duplicates, sums, lows, highs, version, emitted, seen in rows:
        window = Window(start)
        window.count, window.duplicates = count, duplicates
        window.sums, window.lows, window.highs = sums, lows, highs
        window.version, window.emitted = version, emitted
        window.seen = set(array("I", b64decode(seen)))
        device.windows[start] = window
    device.find_earliest()
    return device


class Transaction(Protocol):
    """What is needed of a state store's transaction on a partition."""

    def get_bytes(self, key: bytes, prefix: bytes) -> bytes | None:
        """The value of a key."""

    def set_bytes(self, key: bytes, value: bytes, prefix: bytes) -> None:
        """Set the value of a key."""


class WindowStore:
    """Loads and saves the state of one partition.

    Args:
        log_id: State of another log of the same name is ignored.
    """

    def __init__(self, log_id: str) -> None:
        self._log_id = log_id
        self._saved_devices = 0
        self._through = -1

    def load(self, transaction: Transaction, has_landed: Callable[[int], bool]) -> PartitionState:
        """Read what the last checkpoint left; empty if there was none, or of another log.

        Args:
            transaction: Of the partition.
            has_landed: Whether the raw layer holds the records up to an offset. If not, they are in
                another raw layer, or were removed with it: windows begun with them would contradict
                every recount here.
        """
        clock = transaction.get_bytes(_CLOCK, _PREFIX)
        if clock is None:
            return PartitionState()
        form, log_id, *rest = orjson.loads(clock)
        if (form, log_id) != (FORMAT, self._log_id):
            return PartitionState()
        broker_us, through = rest
        if not has_landed(through):
            _log.warning("the open windows of %s begin anew: raw does not hold theirs", log_id)
            return PartitionState()
        self._through = through
        state = PartitionState(broker_us)
        names: list[str] = orjson.loads(transaction.get_bytes(_DEVICES, _PREFIX) or b"[]")
        for name in names:
            data = transaction.get_bytes(_key(name), _PREFIX)
            if data is not None and (device := decode_device(data)) is not None:
                state.devices[name] = device
        self._saved_devices = len(state.devices)
        return state

    def save(self, transaction: Transaction, state: PartitionState, through: int) -> None:
        """Write what has changed since the last time.

        Args:
            transaction: Of the partition.
            state: Its state.
            through: Offset of the last record in it that has landed; -1 if none was read.
        """
        self._through = max(self._through, through)
        for name in state.touched:
            transaction.set_bytes(_key(name), encode_device(state.devices[name]), _PREFIX)
        state.touched.clear()
        if len(state.devices) != self._saved_devices:
            self._saved_devices = len(state.devices)
            transaction.set_bytes(_DEVICES, orjson.dumps(list(state.devices)), _PREFIX)
        clock = orjson.dumps([FORMAT, self._log_id, state.broker_us, self._through])
        transaction.set_bytes(_CLOCK, clock, _PREFIX)


def _key(name: str) -> bytes:
    return b"device:" + name.encode()
