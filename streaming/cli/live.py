"""What `lake stream run` shows: a live table on a terminal, a line per finished minute elsewhere.

Here belongs collecting the figures to show and showing them. Nothing here decides anything.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from streaming.config import MICRO, SECOND_US, StreamConfig
from streaming.window_state import Window

if TYPE_CHECKING:
    from rich.table import Table

    from streaming.app import StreamApp

_SETTLE_SECONDS = 1.0
_TELL_SECONDS = 5.0
_FEW_RECORDS = 1000


@dataclass(slots=True)
class StreamMinute:
    """One minute of a stream: the emitted windows of all devices of this instance.

    Attributes:
        devices: Devices that have readings in it.
        events: Their readings.
        duplicates: Readings that came again.
        sums: Sum of each measure in millionths.
        changed: Monotonic seconds when the last device was added.
    """

    devices: int = 0
    events: int = 0
    duplicates: int = 0
    sums: list[int] = field(default_factory=list)
    changed: float = 0.0

    def add(self, window: Window) -> None:
        """Add one device's window."""
        self.devices += 1
        self.events += window.count
        self.duplicates += window.duplicates
        before = self.sums or [0] * len(window.sums)
        self.sums = [a + b for a, b in zip(before, window.sums, strict=True)]
        self.changed = time.monotonic()


class MinuteBoard:
    """Gathers the emitted windows of devices into minutes of streams."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], StreamMinute] = {}
        self._configs: dict[str, StreamConfig] = {}
        self.last: dict[str, str] = {}

    def on_emit(self, config: StreamConfig, _: str, window: Window) -> None:
        """Take a window that has been emitted."""
        self._configs[config.name] = config
        self._waiting.setdefault((config.name, window.start), StreamMinute()).add(window)

    def finished(self, is_open: Callable[[str, int], bool]) -> list[str]:
        """A line for each minute that no device of this instance has open any more.

        Args:
            is_open: Whether a stream's minute (its start, microseconds since 1970 UTC) is open.
        """
        now = time.monotonic()
        lines = []
        for (name, start), minute in sorted(self._waiting.items()):
            if now - minute.changed < _SETTLE_SECONDS or is_open(name, start):
                continue
            del self._waiting[(name, start)]
            line = minute_line(self._configs[name], start, minute)
            self.last[name] = line
            lines.append(line)
        return lines


def minute_line(config: StreamConfig, start_us: int, minute: StreamMinute) -> str:
    """A minute in one line: stream, minute, devices, count and averages."""
    moment = datetime.fromtimestamp(start_us / SECOND_US, UTC)
    means = ", ".join(
        f"{measure.name} {total / MICRO / minute.events:.2f}"
        for measure, total in zip(config.measures, minute.sums, strict=True)
    )
    again = f", {minute.duplicates:,} duplicates" if minute.duplicates else ""
    several = "s" if minute.devices > 1 else ""
    return (
        f"{config.name} {moment:%Y-%m-%d %H:%M} UTC: {minute.events:,} readings of "
        f"{minute.devices:,} device{several}{again}; average {means}"
    )


class LiveView:
    """Shows an application while it runs.

    Args:
        app: The application.
        board: Its minutes.
        say: Prints a line.
    """

    def __init__(self, app: "StreamApp", board: MinuteBoard, say: Callable[[str], None]) -> None:
        self._app, self._board, self._say = app, board, say
        self._before: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._measured = time.monotonic()
        self._told = 0.0
        self._waited: str | None = None

    def lines(self) -> None:
        """Print what is new since the last call: minutes, a backlog, what is waited for."""
        for line in self._board.finished(self._open_starts()):
            self._say(line)
        self._measure()
        now = time.monotonic()
        behind = self._behind()
        if behind is not None and now - self._told >= _TELL_SECONDS:
            self._told = now
            self._say(behind)
        if self._app.waiting not in (None, self._waited):
            self._say(str(self._app.waiting))
        self._waited = self._app.waiting

    def table(self) -> "Table":
        """The streams as they stand."""
        from rich import box
        from rich.table import Table

        self._board.finished(self._open_starts())
        self._measure()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in (
            "stream",
            "devices",
            "per s",
            "accepted",
            "late",
            "duplicate",
            "rejected",
            "lag",
        ):
            table.add_column(heading, justify="left" if heading == "stream" else "right")
        for processor in self._app.processors:
            name, counts = processor.config.name, processor.outcomes
            lag = sum(
                n for (topic, _), n in self._app.lag.items() if topic == processor.config.topic
            )
            cells = [processor.devices, round(self._rates.get(name, 0)), *counts.values(), lag]
            table.add_row(name, *(f"{cell:,}" for cell in cells))
        told = [*self._board.last.values(), self._behind(), self._app.waiting]
        table.caption = "\n".join(line for line in told if line)
        table.caption_justify = "left"
        return table

    def _open_starts(self) -> Callable[[str, int], bool]:
        # Looked for once a call: there may be as many open windows as devices.
        found: dict[str, set[int]] = {}

        def is_open(name: str, start: int) -> bool:
            if name not in found:
                for processor in self._app.processors:
                    if processor.config.name == name:
                        found[name] = processor.open_starts()
            return start in found[name]

        return is_open

    def _behind(self) -> str | None:
        """How far it is behind, in a line; None if it is not."""
        waits, rate = sum(self._app.lag.values()), sum(self._rates.values())
        if waits < max(_FEW_RECORDS, rate * _TELL_SECONDS):
            return None
        left = f", {waits / rate:,.0f} s left" if rate else ""
        return f"catching up: {waits:,} records wait, {rate:,.0f} a second{left}"

    def _measure(self) -> None:
        now = time.monotonic()
        if now - self._measured < 1:
            return
        for name, counts in self._app.outcomes.items():
            total = sum(counts.values())
            self._rates[name] = (total - self._before.get(name, 0)) / (now - self._measured)
            self._before[name] = total
        self._measured = now
