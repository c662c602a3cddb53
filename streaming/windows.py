"""Tumbling windows of one minute: which event counts, which is late, and when a window closes.

Pure computation on one partition's records in their order: no broker, no disk, and no clock but the
broker's timestamps in the records, so a replay decides every record as the first time. Here does
not belong what a window holds and how it survives (``window_state``).

A device's watermark is the newest event time it has shown (Kafka Streams' stream time, kept for
each device). After ``idle_us`` of silence, measured by the broker's timestamps, it is taken to run
on, and to be no further behind the broker's clock than ``idle_us``. A window is closed once its
device's watermark is ``grace_us`` past its end; an event for a closed window is late.

Each window is emitted once: when a record closes it, or before, when its device is silent and the
partition has been read to its end. It is final from then on.
"""

from collections.abc import Iterator

from streaming.config import MINUTE_US, StreamConfig
from streaming.events import Event
from streaming.window_state import Device, PartitionState, Window

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
LATE = "late"
REJECTED = "rejected"
OUTCOMES = (ACCEPTED, LATE, DUPLICATE, REJECTED)


class PartitionWindows:
    """The windows of one partition.

    Args:
        config: The stream.
        state: What earlier records have left.
    """

    def __init__(self, config: StreamConfig, state: PartitionState | None = None) -> None:
        self._open_us = MINUTE_US + config.grace_us
        self._idle = config.idle_us
        self.state = state or PartitionState()
        self.changed: dict[tuple[str, int], Window] = {}
        """Windows that changed, closed or were emitted; whoever lands them empties it."""
        self.to_emit: list[tuple[str, Window]] = []
        """Device and window of what has become final; whoever emits it empties it."""

    def observe(self, broker_us: int) -> None:
        """Let the broker's clock advance by a record that is no event.

        Args:
            broker_us: The record's broker timestamp, microseconds since 1970 UTC.
        """
        if broker_us > self.state.broker_us:
            self.state.broker_us = broker_us

    def process(self, event: Event, broker_us: int, offset: int) -> str:
        """Count one event.

        Args:
            event: The event.
            broker_us: Its record's broker timestamp, microseconds since 1970 UTC.
            offset: Its record's offset.

        Returns:
            One of ``ACCEPTED``, ``DUPLICATE`` and ``LATE``.
        """
        state, open_us = self.state, self._open_us
        if broker_us > state.broker_us:
            state.broker_us = broker_us
        name, at = event.device, event.at_us
        device = state.devices.get(name)
        if device is None:
            device = state.devices[name] = Device()
            watermark = at
        else:
            watermark = device.watermark
            if state.broker_us - device.heard > self._idle:
                watermark = self._watermark_of(device, state.broker_us)
        within = at % MINUTE_US
        start = at - within
        if start + open_us <= watermark:
            if device.earliest + open_us <= watermark:
                self._close(name, device, watermark)
            return LATE
        window = device.windows.get(start)
        if window is None:
            window = device.windows[start] = Window(start)
            device.find_earliest()
        window.version = offset
        self.changed[(name, start)] = window
        state.touched.add(name)
        if within in window.seen:
            window.duplicates += 1
            return DUPLICATE
        window.seen.add(within)
        window.add(event.values)
        # Only if the broker's clock runs behind ours can this matter; it is emitted anew then.
        window.emitted = False
        if at > watermark or device.watermark < 0:
            device.watermark = watermark = at
            device.heard = state.broker_us
        if device.earliest + open_us <= watermark:
            self._close(name, device, watermark)
        return ACCEPTED

    def close_silent(self) -> None:
        """Close the windows of devices that the partition's own records have left behind."""
        for name, device in self.state.devices.items():
            if device.windows:
                watermark = self._watermark_of(device, self.state.broker_us)
                if device.earliest + self._open_us <= watermark:
                    self._close(name, device, watermark)

    def emits_by_silence(self, now_us: int) -> bool:
        """Whether ``emit_silent`` would emit anything."""
        moment = max(now_us, self.state.broker_us)
        return any(
            device.windows
            and device.earliest + self._open_us <= (watermark := self._watermark_of(device, moment))
            and any(not window.emitted for window in self._due(device, watermark))
            for device in self.state.devices.values()
        )

    def emit_silent(self, now_us: int) -> list[str]:
        """Emit as final what no record still to come can change.

        For a partition in which nothing happens: it has been read to its end, and whatever comes
        will carry a later broker timestamp than ``now_us``. The windows stay open until a record
        closes them, since a replay sees records only.

        Args:
            now_us: A moment that the broker's clock has surely passed.

        Returns:
            The devices concerned.
        """
        emitted = []
        for name, device in self.state.devices.items():
            watermark = self._watermark_of(device, max(now_us, self.state.broker_us))
            for window in self._due(device, watermark):
                if not window.emitted:
                    window.emitted = True
                    self.to_emit.append((name, window))
                    self.changed[(name, window.start)] = window
                    self.state.touched.add(name)
                    emitted.append(name)
        return emitted

    def _watermark_of(self, device: Device, broker_us: int) -> int:
        """Where a device's watermark is taken to be when the broker's clock shows ``broker_us``."""
        silent = broker_us - device.heard - self._idle
        if silent <= 0:
            return device.watermark
        # A watermark that is ahead runs on; one that is behind, as in a recording sent in a hurry,
        # catches up.
        return max(device.watermark + silent, broker_us - self._idle)

    def _due(self, device: Device, watermark: int) -> Iterator[Window]:
        for start in sorted(device.windows):
            if start + self._open_us > watermark:
                return
            yield device.windows[start]

    def _close(self, name: str, device: Device, watermark: int) -> None:
        for window in list(self._due(device, watermark)):
            del device.windows[window.start]
            window.closed = True
            self.changed[(name, window.start)] = window
            if not window.emitted:
                self.to_emit.append((name, window))
        self.state.touched.add(name)
        device.find_earliest()
