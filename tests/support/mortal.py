"""A process that dies after so many changes of the file system."""

import os
from collections.abc import Callable
from typing import Any

import pytest

STEPS = ("replace", "rename", "link", "unlink", "remove", "chmod", "utime", "truncate", "mkdir")
"""What changes names or files; everything between two of them is only seen by its own process."""


class Died(BaseException):
    """The end of the process."""


class Mortal:
    """Lets a process make so many changes of the file system, and none after that.

    Even what stands in a ``finally`` fails after its death, as it does after a ``kill -9``; only
    its locks are free again, as the kernel does it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def live(self, work: Callable[[], object], *, steps: int) -> bool:
        """Do the work; whether it came to its end."""
        left = steps

        def dying(step: Callable[..., Any]) -> Callable[..., Any]:
            def change(*args: Any, **options: Any) -> Any:
                nonlocal left
                if left <= 0:
                    raise Died
                left -= 1
                return step(*args, **options)

            return change

        with self._patch.context() as patch:
            for name in STEPS:
                patch.setattr(os, name, dying(getattr(os, name)))
            try:
                work()
            except Died:
                return False
            return True
