"""Tumbling windows of one minute: which event counts, which is late, and when a window closes.

Pure computation on one partition's records in their order: no broker, no disk, and no clock but the
broker's timestamps in the records, so a replay decides every record as the first time. Here does
not belong what a window holds (``window_state``) and how it is read back (``memory``).

A device's watermark is the newest event time it has shown (Kafka Streams' stream time, kept for
each device). While the device is silent for longer than ``idle_us``, measured by the partition's
clock, its watermark runs on at that clock's pace: so a device with a delay keeps its delay, and
whatever its clock does, nobody else's minutes are touched. A window is closed once its device's
watermark is ``grace_us`` past its end; an event for a closed window is late.

A device that has not been heard of for ``FORGET_US`` is forgotten, at moments that follow from the
partition's clock alone. What comes of it later is an event of a new device; ``floor_us`` keeps it
out of minutes that were closed.

Each window is emitted once: when a record closes it, or before, when its device is silent and the
partition has been read to its end. It is final from then on.
"""

from collections.abc import Iterator
from operator import attrgetter

from streaming.config import MINUTE_US, SECOND_US, StreamConfig
from streaming.events import Event
from streaming.window_state import NEVER, Device, PartitionState, Window

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
LATE = "late"
REJECTED = "rejected"
OUTCOMES = (ACCEPTED, LATE, DUPLICATE, REJECTED)

FORGET_US = 3600 * SECOND_US
"""A device that was silent for so long is forgotten; what is read back is bounded by it."""
AHEAD_US = 600 * SECOND_US
"""How far a producer's clock can be ahead of the partition's and still be believed."""
SWEEP_US = 600 * SECOND_US
"""The forgotten are looked for whenever the partition's clock passes a multiple of this."""


_start = attrgetter("start")


def open_us(config: StreamConfig) -> int:
    """From a window's start to the watermark that closes it, microseconds."""
    return MINUTE_US + config.grace_us


def known_since(broker_us: int) -> int:
    """Devices last heard before this moment are forgotten when the clock shows ``broker_us``."""
    return broker_us - broker_us % SWEEP_US - FORGET_US


def watermark_of(device: Device, moment: int, idle_us: int) -> int:
    """Where a device's watermark is when the partition's clock shows ``moment``."""
    silent = moment - device.heard - idle_us
    return device.watermark + silent if silent > 0 else device.watermark


class PartitionWindows:
    """The windows of one partition.

    Args:
        config: The stream.
        state: What earlier records have left.
    """

    def __init__(self, config: StreamConfig, state: PartitionState | None = None) -> None:
        self._open_us = open_us(config)
        self._idle = config.idle_us
        self.state = state or PartitionState()
        clock = self.state.clock.broker_us
        self._next_sweep = clock - clock % SWEEP_US + SWEEP_US if clock else 0
        self.device: Device = Device("", -1)
        """The device of the event that was counted last."""
        self.changed: dict[tuple[str, int], Window] = {}
        """Windows that changed, closed or were emitted; whoever lands them empties it."""
        self.to_emit: list[tuple[str, Window]] = []
        """Device and window of what has become final; whoever emits it empties it."""

    def observe(self, broker_us: int, *, stamped: bool = True) -> None:
        """Let the partition's clock advance by a record that is no event.

        Args:
            broker_us: The record's broker timestamp, microseconds since 1970 UTC.
            stamped: It is the broker's own; a producer's needs a device that vouches for it.
        """
        if stamped and broker_us > self.state.clock.broker_us:
            self._advance(broker_us)

    def process(self, event: Event, broker_us: int, offset: int, *, stamped: bool = True) -> str:
        """Count one event.

        Args:
            event: The event.
            broker_us: Its record's broker timestamp, microseconds since 1970 UTC.
            offset: Its record's offset.
            stamped: The timestamp is the broker's own, not its producer's.

        Returns:
            One of ``ACCEPTED``, ``DUPLICATE`` and ``LATE``.
        """
        state, opened = self.state, self._open_us
        name, at = event[0], event[1]
        if not stamped:
            vouched = self._vouched(name, broker_us)
            if vouched > state.clock.broker_us:
                self._advance(vouched)
        elif broker_us > state.clock.broker_us:
            self._advance(broker_us)
        clock = state.clock.broker_us
        device = state.devices.get(name)
        if device is None:
            device = state.devices[name] = Device(name, state.clock.floor_us)
        elif clock - device.heard > self._idle:
            device.watermark = watermark_of(device, clock, self._idle)
        self.device = device
        # A producer's clock that is ahead of the others' must not count as silence later.
        heard = clock if clock >= broker_us else min(broker_us, clock + AHEAD_US)
        if heard > device.heard:
            device.heard = heard
        watermark = device.watermark
        within = at % MINUTE_US
        start = at - within
        if start + opened <= watermark:
            if device.earliest + opened <= watermark:
                self._close(device, watermark)
            return LATE
        window = device.window_of(start)
        if window is None:
            window = Window(start, offset)
            device.windows.append(window)
            if start < device.earliest:
                device.earliest = start
        window.version = offset
        self.changed[(name, start)] = window
        if not window.is_new(within):
            window.duplicates += 1
            return DUPLICATE
        window.add(event[2])
        # Only if the broker's clock runs behind ours can this matter; it is emitted anew then.
        window.emitted = False
        if at > watermark:
            device.watermark = watermark = at
        if device.earliest + opened <= watermark:
            self._close(device, watermark)
        return ACCEPTED

    def close_silent(self) -> None:
        """Close the windows of devices that the partition's own records have left behind."""
        clock, opened = self.state.clock.broker_us, self._open_us
        for device in self.state.devices.values():
            if device.earliest != NEVER:
                watermark = watermark_of(device, clock, self._idle)
                if device.earliest + opened <= watermark:
                    self._close(device, watermark)

    def emit_silent(self, now_us: int) -> int:
        """Emit as final what no record still to come can change.

        For a partition in which nothing happens: it has been read to its end, and whatever comes
        will carry a later broker timestamp than ``now_us``. The windows stay open until a record
        closes them, since a replay sees records only.

        Args:
            now_us: A moment that the broker's clock has surely passed.

        Returns:
            How many windows were emitted.
        """
        moment, opened = max(now_us, self.state.clock.broker_us), self._open_us
        before = len(self.to_emit)
        for device in self.state.devices.values():
            if device.earliest == NEVER:
                continue
            watermark = watermark_of(device, moment, self._idle)
            if device.earliest + opened > watermark:
                continue
            for window in self._due(device, watermark):
                if not window.emitted:
                    window.emitted = True
                    self.to_emit.append((device.name, window))
                    self.changed[(device.name, window.start)] = window
        return len(self.to_emit) - before

    def _advance(self, broker_us: int) -> None:
        self.state.clock.broker_us = broker_us
        if broker_us >= self._next_sweep:
            self._next_sweep = broker_us - broker_us % SWEEP_US + SWEEP_US
            self._forget(known_since(broker_us), broker_us)

    def _forget(self, since: int, clock: int) -> None:
        for device in [d for d in self.state.devices.values() if d.heard < since]:
            # Long closed, but perhaps nobody has looked since.
            self._close(device, watermark_of(device, clock, self._idle))
            newest = device.watermark - device.watermark % MINUTE_US + self._open_us
            self.state.clock.floor_us = max(self.state.clock.floor_us, newest)
            del self.state.devices[device.name]

    def _vouched(self, name: str, stamp: int) -> int:
        """The newest timestamp that another device's bears out: one wrong clock moves nothing."""
        clock, devices = self.state.clock, self.state.devices
        if not devices or (len(devices) == 1 and name in devices):
            clock.witness, clock.witness_us = name, max(stamp, clock.witness_us)
            return stamp
        if name == clock.witness:
            clock.witness_us = max(stamp, clock.witness_us)
            return 0
        if stamp <= clock.witness_us:
            return stamp
        vouched = clock.witness_us
        clock.witness, clock.witness_us = name, stamp
        return vouched

    def _due(self, device: Device, watermark: int) -> Iterator[Window]:
        for window in sorted(device.windows, key=_start):
            if window.start + self._open_us > watermark:
                return
            yield window

    def _close(self, device: Device, watermark: int) -> None:
        for window in list(self._due(device, watermark)):
            device.windows.remove(window)
            window.closed = True
            self.changed[(device.name, window.start)] = window
            if not window.emitted:
                self.to_emit.append((device.name, window))
        device.find_earliest()
