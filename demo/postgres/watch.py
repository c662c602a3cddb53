"""A watchman: stops an embedded PostgreSQL all of whose users were killed.

A program of its own, started beside each server with nothing but the standard library. It sleeps
in the kernel until nobody holds ``alive.lock`` any more. Users who leave properly have stopped the
server by then; after a ``kill -9`` of the last one it does that for them.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.01


def watch(home: Path) -> None:
    """Wait until no user is left, then see to it that no server is.

    Args:
        home: Folder of the locks and of the data folder ``cluster``.
    """
    while True:
        # Let go at once: a newcomer takes this lock while he holds the other.
        _release(_acquire(home / "alive.lock", fcntl.LOCK_EX))
        start = _acquire(home / "start.lock", fcntl.LOCK_EX)
        try:
            users = _acquire(home / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _release(start)
            continue
        _stop(home / "cluster")
        _release(users)
        _release(start)
        return


def _acquire(path: Path, operation: int) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _release(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _stop(cluster: Path) -> None:
    pid_file = cluster / "postmaster.pid"
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines()
        if not _answers(Path(lines[4])):
            return
        os.kill(int(lines[0]), signal.SIGINT)
    except (OSError, ValueError, IndexError):
        return
    deadline = time.monotonic() + _STOP_SECONDS
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _answers(socket_dir: Path) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(socket_dir / ".s.PGSQL.5432")) == 0


if __name__ == "__main__":
    try:
        watch(Path(sys.argv[1]))
    except FileNotFoundError:
        # The whole folder is gone, and with it what there was to watch.
        sys.exit(0)
