"""Progress of long work: a live bar on a terminal, plain lines in a log.

Here belongs how progress looks. What is counted is the caller's business.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

_LOG_EVERY_SECONDS = 5.0


class Advance(Protocol):
    """Something that counts finished units."""

    def advance(self, count: int) -> None:
        """Add finished units."""


class _LogProgress:
    """Prints a line every few seconds and one at the end."""

    def __init__(self, label: str, total: int | None, unit: str, stream: TextIO) -> None:
        self._label, self._total, self._unit, self._stream = label, total, unit, stream
        self._done = 0
        self._started = self._told = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._told >= _LOG_EVERY_SECONDS:
            self._told = time.monotonic()
            self.line()

    def line(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-3)
        rate = self._done / seconds
        text = f"{self._label}: {self._done:,} {self._unit}, {rate:,.0f}/s"
        if self._total and self._done < self._total and rate:
            text += f", {(self._total - self._done) / rate:,.0f} s left"
        print(text, file=self._stream, flush=True)


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
    log.line()


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

            return Text(f"{task.finished_speed or task.speed or 0:,.0f} {unit}/s")

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
