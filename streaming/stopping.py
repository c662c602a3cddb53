"""Asking a long run to end: by Ctrl-C or SIGTERM, at any moment of it.

Here belongs hearing the signals, whatever runs, waits or has just failed. What ending means is the
business of whoever is asked.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequest:
    """Whether a stop has been asked for."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._action: Callable[[], None] = lambda: None

    @property
    def is_asked(self) -> bool:
        """Whether it has."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask for it."""
        self._asked.set()
        self._action()

    def wait(self, seconds: float) -> bool:
        """Let time pass until it is asked for; says whether it has been."""
        return self._asked.wait(seconds)

    @contextmanager
    def then(self, action: Callable[[], None]) -> Iterator[None]:
        """While the block runs, being asked calls this as well.

        Args:
            action: Called in a signal's handler: it only notes something.
        """
        before, self._action = self._action, action
        try:
            yield
        finally:
            self._action = before


@contextmanager
def stopped_by_signals() -> Iterator[StopRequest]:
    """A request that Ctrl-C and SIGTERM make while the block runs; a second Ctrl-C interrupts.

    In another thread than the main one, nothing is heard.
    """
    request = StopRequest()

    def heard(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        request.ask()

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, heard)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
