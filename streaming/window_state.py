"""What a partition's later records need to know of its earlier ones: minutes, devices, clocks.

Here belongs the shape of it. Which event counts is in ``windows``; reading it back from what has
landed is in ``memory``. It is kept nowhere else.
"""

from dataclasses import dataclass, field

from streaming.config import MINUTE_US

NEVER = 1 << 62
"""A moment that no watermark reaches."""


class Window:
    """One device's tumbling window of one minute, counted so far.

    Attributes:
        start: Its first microsecond, since 1970 UTC.
        first_offset: Offset of the first record in it.
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
        "first_offset",
        "highs",
        "lows",
        "seen",
        "start",
        "sums",
        "version",
    )

    def __init__(self, start: int, first_offset: int) -> None:
        self.start = start
        self.first_offset = first_offset
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


class Device:
    """One device's watermark and open windows.

    Attributes:
        name: Its name.
        watermark: The newest event time it has shown, and what silences have added to it;
            microseconds since 1970 UTC.
        heard: The partition's clock when it spoke last.
        windows: Its open windows by start.
        earliest: Start of the first of them to close; ``NEVER`` without any.
    """

    __slots__ = ("earliest", "heard", "name", "watermark", "windows")

    def __init__(self, name: str, watermark: int, heard: int = 0) -> None:
        self.name = name
        self.watermark = watermark
        self.heard = heard
        self.windows: dict[int, Window] = {}
        self.earliest = NEVER

    def find_earliest(self) -> None:
        """Bring ``earliest`` up to date after a window was opened or closed."""
        self.earliest = min(self.windows, default=NEVER)


@dataclass(slots=True)
class PartitionClock:
    """The moments that a partition's records share. It travels in the footer of a landed file.

    Attributes:
        broker_us: The partition's clock: the newest broker timestamp, microseconds since 1970 UTC.
            Where producers stamp, the newest that two devices have shown.
        witness: Where producers stamp: the device that has shown the newest timestamp.
        witness_us: That timestamp.
        floor_us: Minutes that end with their grace by this moment are closed for a device that is
            not known: those that were known and are forgotten have been counted up to here.
    """

    broker_us: int = 0
    witness: str = ""
    witness_us: int = 0
    floor_us: int = -1


@dataclass(slots=True)
class PartitionState:
    """What a partition's later records need to know of its earlier ones.

    Attributes:
        clock: The partition's own moments.
        devices: The devices heard of lately, by name.
    """

    clock: PartitionClock = field(default_factory=PartitionClock)
    devices: dict[str, Device] = field(default_factory=dict)

    @property
    def open_from(self) -> int:
        """Offset of the first record of an open window; ``NEVER`` without any."""
        return min(
            (
                window.first_offset
                for device in self.devices.values()
                for window in device.windows.values()
            ),
            default=NEVER,
        )
