"""What a partition's later records need to know of its earlier ones: minutes, devices, clocks.

Here belongs the shape of it. Which event counts is in ``windows``; reading it back from what has
landed is in ``memory``. It is kept nowhere else.
"""

from array import array
from dataclasses import dataclass, field

from streaming.config import MINUTE_US

NEVER = 1 << 62
"""A moment that no watermark reaches."""
_FEW = 16
"""So many are found as quickly in an array as in a set, which takes three times the room."""
_NOTHING = array("q")


class Window:
    """One device's tumbling window of one minute, counted so far.

    There may be a hundred thousand of them: numbers are held in arrays, not as objects.

    Attributes:
        start: Its first microsecond, since 1970 UTC.
        first_offset: Offset of the first record in it.
        count: Events in it, duplicates apart.
        duplicates: Events that came again while it was open.
        numbers: Sum of each measure, then smallest of each, then largest of each; millionths.
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
        "numbers",
        "seen",
        "start",
        "version",
    )

    def __init__(self, start: int, first_offset: int) -> None:
        self.start = start
        self.first_offset = first_offset
        self.count = 0
        self.duplicates = 0
        self.numbers = _NOTHING
        self.seen: array[int] | set[int] = array("I")
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

    @property
    def sums(self) -> list[int]:
        """Sum of each measure, millionths."""
        return self.numbers[: len(self.numbers) // 3].tolist()

    @property
    def lows(self) -> list[int]:
        """Smallest value of each measure, millionths."""
        size = len(self.numbers) // 3
        return self.numbers[size : 2 * size].tolist()

    @property
    def highs(self) -> list[int]:
        """Largest value of each measure, millionths."""
        return self.numbers[len(self.numbers) // 3 * 2 :].tolist()

    def is_new(self, within: int) -> bool:
        """Whether no event of this microsecond of the minute was seen before; it is from now on."""
        seen = self.seen
        if within in seen:
            return False
        if isinstance(seen, set):
            seen.add(within)
        elif len(seen) < _FEW:
            seen.append(within)
        else:
            self.seen = {*seen, within}
        return True

    def add(self, values: tuple[int, ...]) -> None:
        """Count one more event."""
        self.count += 1
        numbers = self.numbers
        if not numbers:
            self.numbers = array("q", values * 3)
            return
        size = len(values)
        for place, value in enumerate(values):
            numbers[place] += value
            if value < numbers[size + place]:
                numbers[size + place] = value
            elif value > numbers[2 * size + place]:
                numbers[2 * size + place] = value


class Device:
    """One device's watermark and open windows.

    Attributes:
        name: Its name.
        watermark: The newest event time it has shown, and what silences have added to it;
            microseconds since 1970 UTC.
        heard: The partition's clock when it spoke last.
        windows: Its open windows; two or three, since others are closed by its watermark.
        earliest: Start of the first of them to close; ``NEVER`` without any.
    """

    __slots__ = ("earliest", "heard", "name", "watermark", "windows")

    def __init__(self, name: str, watermark: int, heard: int = 0) -> None:
        self.name = name
        self.watermark = watermark
        self.heard = heard
        self.windows: list[Window] = []
        self.earliest = NEVER

    def find_earliest(self) -> None:
        """Bring ``earliest`` up to date after a window was opened or closed."""
        self.earliest = min((window.start for window in self.windows), default=NEVER)

    def window_of(self, start: int) -> Window | None:
        """Its open window that begins there."""
        for window in self.windows:
            if window.start == start:
                return window
        return None


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
            (window.first_offset for device in self.devices.values() for window in device.windows),
            default=NEVER,
        )
