"""Ends the process, loudly, when records wait and too little happens for too long."""

import logging
import os
import threading
import time
from typing import Self

_log = logging.getLogger(__name__)

STALLED = 70
"""Exit code of a process that the watchdog ended."""
_LEAST_RATE = 2.0
"""Records a second; fewer, while more wait, is no reading but a loop that does something else."""


class Watchdog:
    """Watches while the block runs.

    Args:
        patience: Seconds without a checkpoint while there is something to land, or of reading next
            to nothing while records wait, after which the process ends.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._end = threading.Event()
        self._landed = self._reading = time.monotonic()
        self._read = 0

    def landed(self, now: float) -> None:
        """Note a checkpoint.

        Args:
            now: Monotonic seconds.
        """
        self._landed = now

    def excuse(self, now: float) -> None:
        """Note that nothing can happen at the moment, for a reason that was told.

        Args:
            now: Monotonic seconds.
        """
        self._landed = self._reading = now

    def look(self, now: float, *, read: int, waits: int, holds: bool) -> None:
        """Note how far reading is.

        Args:
            now: Monotonic seconds.
            read: Records read since the start.
            waits: Records that wait at the broker.
            holds: Whether there is something to land.
        """
        if not holds and not waits:
            self._landed = now
        enough = read - self._read >= min(_LEAST_RATE * (now - self._reading), waits)
        if not waits or (enough and now > self._reading):
            self._reading, self._read = now, read

    def __enter__(self) -> Self:
        self._landed = self._reading = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def stalled(self, now: float) -> str | None:
        """What has not happened for too long; None if all goes on.

        Args:
            now: Monotonic seconds.
        """
        if now - self._landed >= self._patience:
            return f"no checkpoint for {now - self._landed:.0f} s"
        if now - self._reading >= self._patience:
            return f"next to nothing read for {now - self._reading:.0f} s"
        return None

    def _watch(self) -> None:
        while not self._end.wait(min(5.0, self._patience / 4)):
            if what := self.stalled(time.monotonic()):
                _log.critical(
                    "%s while records wait; ending, so that a restart goes on from what has "
                    "landed. Next: `lake stream status`, then start it again.",
                    what,
                )
                os._exit(STALLED)
