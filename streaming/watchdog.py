"""Ends the process, loudly, when records wait and nothing is committed for too long."""

import logging
import os
import threading
import time
from typing import Self

_log = logging.getLogger(__name__)

STALLED = 70
"""Exit code of a process that the watchdog ended."""


class Watchdog:
    """Watches while the block runs.

    Args:
        patience: Seconds without progress after which the process ends.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._end = threading.Event()
        self._progress = time.monotonic()

    def progress(self, now: float) -> None:
        """Note that something was committed, or that there is nothing to commit.

        Args:
            now: Monotonic seconds.
        """
        self._progress = now

    def __enter__(self) -> Self:
        self._progress = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def _watch(self) -> None:
        while not self._end.wait(min(5.0, self._patience / 4)):
            stalled = time.monotonic() - self._progress
            if stalled >= self._patience:
                _log.critical(
                    "no checkpoint for %.0f s while records wait; ending, so that a restart goes "
                    "on from the last one. Next: `lake stream status`, then start it again.",
                    stalled,
                )
                os._exit(STALLED)
