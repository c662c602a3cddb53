"""Advisory locks between processes that say who holds them.

Built on ``flock``: the kernel releases the lock when its holder dies, so a ``kill -9`` leaves
nothing to clean up. The file's text names the holder for people; it never decides anything.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from lakehouse.errors import LakeError

_POLL_SECONDS = 0.1
_REMIND_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock: process id, purpose in words, and since when (UTC)."""

    pid: int
    purpose: str
    since: datetime

    def __str__(self) -> str:
        return f"{self.purpose} (pid {self.pid}, since {self.since:%Y-%m-%d %H:%M:%S} UTC)"


class LockHeldError(LakeError):
    """Somebody else holds the lock and the caller did not want to wait."""


class FileLock:
    """One exclusive lock, held from ``acquire`` until ``release`` or the end of the process.

    Args:
        path: The lock file; made if missing, never removed.
        purpose: What the holder is doing, shown to those who wait.
    """

    def __init__(self, path: Path, *, purpose: str) -> None:
        self._path = path
        self._purpose = purpose
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free.

        Returns:
            True when this object now holds the lock.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        text = json.dumps(
            {
                "pid": os.getpid(),
                "purpose": self._purpose,
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        return True

    def acquire(self, *, on_wait: Callable[[str], None] | None = None) -> Self:
        """Wait for the lock.

        Args:
            on_wait: Called with one sentence that names the holder when the wait begins, when the
                holder changes, and every 15 seconds.
        """
        told: tuple[str, float] = ("", 0.0)
        while not self.try_acquire():
            holder = str(self.holder() or "a process that is just starting")
            if on_wait and (holder != told[0] or time.monotonic() - told[1] > _REMIND_SECONDS):
                on_wait(f"waiting for {holder}")
                told = (holder, time.monotonic())
            time.sleep(_POLL_SECONDS)
        return self

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> LockHolder | None:
        """Who wrote the lock file last; None when nobody says."""
        return _read_holder(self._path)


def current_holder(path: Path) -> LockHolder | None:
    """Who holds a lock right now.

    Args:
        path: The lock file.

    Returns:
        The holder; None when the lock is free.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(path)
    finally:
        os.close(descriptor)
    return None


def _try_briefly(lock: FileLock) -> bool:
    # `current_holder` shares the lock for an instant; that alone must not make anybody give up.
    for _ in range(3):
        if lock.try_acquire():
            return True
        time.sleep(0.05)
    return False


def _read_holder(path: Path) -> LockHolder | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        since = datetime.fromisoformat(fields["since"])
        return LockHolder(int(fields["pid"]), str(fields["purpose"]), since)
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def file_lock(
    path: Path,
    *,
    purpose: str,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock for the length of a block.

    Args:
        path: The lock file.
        purpose: What the holder is doing, shown to those who wait.
        wait: False refuses instead of waiting.
        on_wait: See ``FileLock.acquire``.

    Raises:
        LockHeldError: ``wait`` is False and somebody else holds the lock.
    """
    lock = FileLock(path, purpose=purpose)
    if wait:
        lock.acquire(on_wait=on_wait)
    elif not _try_briefly(lock):
        holder = lock.holder() or "another process"
        raise LockHeldError(f"already running: {holder}", "wait until it ends, then run this again")
    try:
        yield
    finally:
        lock.release()
