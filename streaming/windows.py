"""Minutes of devices: which event counts, which is late or a duplicate, and when a minute is final.

Pure computation on one partition's records in their order: no broker, no disk, and no clock but the
broker's timestamps in the records, so a replay decides every record as the first time. Here does
not belong where minutes are kept (``store``) or written (``landing``).

A device's clock is the newest event time it has shown. After ``idle_us`` of silence, measured by
the broker's timestamps, it is taken to run on, and to be no further behind the broker's clock than
``idle_us``. A minute is closed once its device's clock is ``grace_us`` past its end; an event for a
closed minute is late.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from streaming.config import MINUTE_US, StreamConfig
from streaming.events import Event

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
LATE = "late"
REJECTED = "rejected"
OUTCOMES = (ACCEPTED, LATE, DUPLICATE, REJECTED)
NEVER = 1 << 62
"""A moment that no clock reaches."""


class Window:
    """One minute of one device, counted so far.

    Attributes:
        start: Its first microsecond, since 1970 UTC.
        count: Events in it, duplicates apart.
        duplicates: Events that came again while it was open.
        sums: Sum of each measure, millionths. Likewise ``lows`` and ``highs``.
        seen: Microsecond within the minute of each event counted.
        version: Offset of the last record that changed it.
        told: It has been given out as final because its device was silent.
        closed: No record can change it any more.
    """

    __slots__ = (
        "closed",
        "count",
        "duplicates",
        "highs",
        "lows",
        "seen",
        "start",
        "sums",
        "told",
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
        self.told = False
        self.closed = False

    @property
    def end(self) -> int:
        """The first microsecond after it."""
        return self.start + MINUTE_US

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
    """One device's clock and open minutes.

    Attributes:
        clock: The newest event time it has shown, microseconds since 1970 UTC.
        heard: The broker's timestamp when it showed it.
        windows: Its open minutes by start.
        next_close: The earliest clock at which one of them closes.
    """

    clock: int = -1
    heard: int = 0
    windows: dict[int, Window] = field(default_factory=dict)
    next_close: int = NEVER


class PartitionWindows:
    """The minutes of one partition.

    Args:
        config: The stream.
    """

    def __init__(self, config: StreamConfig) -> None:
        self._grace = config.grace_us
        self._idle = config.idle_us
        self.devices: dict[str, Device] = {}
        self.broker_us = 0
        self.changed: dict[tuple[str, int], Window] = {}
        """Minutes that changed or closed since this was last emptied; the writer empties it."""
        self.final: list[tuple[str, Window]] = []
        """Minutes that became final since this was last emptied; the teller empties it."""
        self.touched: set[str] = set()
        """Devices whose state changed since this was last emptied; the store empties it."""

    def observe(self, broker_us: int) -> None:
        """Let the broker's clock advance by a record that is no event.

        Args:
            broker_us: The record's broker timestamp, microseconds since 1970 UTC.
        """
        if broker_us > self.broker_us:
            self.broker_us = broker_us

    def process(self, event: Event, broker_us: int, offset: int) -> str:
        """Count one event.

        Args:
            event: The event.
            broker_us: Its record's broker timestamp, microseconds since 1970 UTC.
            offset: Its record's offset.

        Returns:
            One of ``ACCEPTED``, ``DUPLICATE`` and ``LATE``.
        """
        if broker_us > self.broker_us:
            self.broker_us = broker_us
        name, at = event.device, event.at_us
        device = self.devices.get(name)
        if device is None:
            device = self.devices[name] = Device()
            clock = at
        else:
            clock = device.clock
            if self.broker_us - device.heard > self._idle:
                clock = self.clock_of(device, self.broker_us)
        within = at % MINUTE_US
        start = at - within
        if start + MINUTE_US + self._grace <= clock:
            if device.next_close <= clock:
                self._close(name, device, clock)
            return LATE
        window = device.windows.get(start)
        if window is None:
            window = device.windows[start] = Window(start)
            device.next_close = self.next_close_of(device)
        window.version = offset
        self.changed[(name, start)] = window
        self.touched.add(name)
        if within in window.seen:
            window.duplicates += 1
            return DUPLICATE
        window.seen.add(within)
        window.add(event.values)
        # Only if the broker's clock runs behind ours can this happen; the minute is told anew then.
        window.told = False
        if at > clock or device.clock < 0:
            device.clock = clock = at
            device.heard = self.broker_us
        if device.next_close <= clock:
            self._close(name, device, clock)
        return ACCEPTED

    def clock_of(self, device: Device, broker_us: int) -> int:
        """What a device's clock is taken to show when the broker's shows ``broker_us``."""
        silent = broker_us - device.heard - self._idle
        if silent <= 0:
            return device.clock
        # A clock that is ahead runs on; one that is behind, as in a recording sent in a hurry,
        # catches up.
        return max(device.clock + silent, broker_us - self._idle)

    def close_silent(self) -> None:
        """Close the minutes of devices that the partition's own records have left behind."""
        for name, device in self.devices.items():
            if device.windows:
                clock = self.clock_of(device, self.broker_us)
                if device.next_close <= clock:
                    self._close(name, device, clock)

    def has_untold(self, now_us: int) -> bool:
        """Whether ``tell_silent`` would tell anything."""
        moment = max(now_us, self.broker_us)
        return any(
            device.windows
            and device.next_close <= (clock := self.clock_of(device, moment))
            and any(not window.told for window in self._due(device, clock))
            for device in self.devices.values()
        )

    def tell_silent(self, now_us: int) -> list[str]:
        """Give out as final what no record still to come can change.

        For a partition in which nothing happens: it has been read to its end, and whatever comes
        will carry a later broker timestamp than ``now_us``. The minutes stay open until a record
        closes them, since a replay sees records only.

        Args:
            now_us: A moment that the broker's clock has surely passed.

        Returns:
            The devices concerned.
        """
        told = []
        for name, device in self.devices.items():
            clock = self.clock_of(device, max(now_us, self.broker_us))
            for window in self._due(device, clock):
                if not window.told:
                    window.told = True
                    self.final.append((name, window))
                    self.changed[(name, window.start)] = window
                    self.touched.add(name)
                    told.append(name)
        return told

    def _due(self, device: Device, clock: int) -> Iterator[Window]:
        for start in sorted(device.windows):
            if start + MINUTE_US + self._grace > clock:
                return
            yield device.windows[start]

    def _close(self, name: str, device: Device, clock: int) -> None:
        for window in list(self._due(device, clock)):
            del device.windows[window.start]
            window.closed = True
            self.changed[(name, window.start)] = window
            if not window.told:
                self.final.append((name, window))
        self.touched.add(name)
        device.next_close = self.next_close_of(device)

    def next_close_of(self, device: Device) -> int:
        """The earliest clock at which one of a device's open minutes closes."""
        return min(device.windows) + MINUTE_US + self._grace if device.windows else NEVER
