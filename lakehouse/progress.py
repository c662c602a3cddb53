"""Progress of long work: a live bar on a terminal, plain lines in a log.

Here belongs how progress looks. What is counted is the caller's business.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

_LOG_EVERY_SECONDS = 5.0
_LOG_EVERY_SHARE = 0.1
"""Of the time so far, so that work of hours has some dozens of lines, too."""


class Advance(Protocol):
    """Something that counts finished units."""

    def advance(self, count: int) -> None:
        """Add finished units."""


class _LogProgress:
    """Prints a line every few seconds, later every few minutes, and one at the end."""

    def __init__(self, label: str, total: int | None, unit: str, stream: TextIO) -> None:
        self._label, self._total, self._unit, self._stream = label, total, unit, stream
        self._done = 0
        self._started = self._told = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told >= max(_LOG_EVERY_SECONDS, (now - self._started) * _LOG_EVERY_SHARE):
            self._told = now
            self._line(is_last=False)

    def end(self) -> None:
        self._line(is_last=True)

    def _line(self, *, is_last: bool) -> None:
        seconds = max(time.monotonic() - self._started, 1e-3)
        rate = self._done / seconds
        total = f" of {self._total:,}" if self._total and not is_last else ""
        text = f"{self._label}: {self._done:,}{total} {self._unit}, {_rate_text(rate)}/s"
        if self._total and self._done < self._total and rate and not is_last:
            text += f", {(self._total - self._done) / rate:,.0f} s left"
        print(text, file=self._stream, flush=True)


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


@contextmanager
def progress(
    label: str, total: int | None = None, *, unit: str = "rows", stream: TextIO | None = None
) -> Iterator[Advance]:
    """Show how far a piece of work is while the block runs.

    Args:
        label: What is being done, a few words.
        total: How many units there will be; None if unknown.
        unit: The name of the units.
        stream: Where to show it; standard error if None.
    """
    target = stream or sys.stderr
    if target.isatty():
        with _bar(label, total, unit, target) as bar:
            yield bar
        return
    log = _LogProgress(label, total, unit, target)
    yield log
    log.end()


@contextmanager
def _bar(label: str, total: int | None, unit: str, target: TextIO) -> Iterator[Advance]:
    # rich costs 60 ms to import, which a command that shows nothing should not pay.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    class RateColumn(TransferSpeedColumn):
        def render(self, task):  # type: ignore[no-untyped-def]
            from rich.text import Text

            return Text(f"{_rate_text(task.finished_speed or task.speed or 0)} {unit}/s")

    class Bar:
        def advance(self, count: int) -> None:
            live.advance(task_id, count)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(file=target), transient=True) as live:
        task_id = live.add_task(label, total=total)
        yield Bar()
