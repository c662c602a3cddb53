"""How much memory the demo's processes hold together at their peak.

Here belongs sampling a process tree and the servers beside it. The measure is the proportional set
size where the system tells it (Linux): a page shared by n processes counts 1/n for each, so the sum
counts it once. Elsewhere it is the unique set size, which leaves shared pages out.
"""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_EVERY_SECONDS = 0.25

MEASURE = "PSS" if sys.platform == "linux" else "USS"


class PeakMemory:
    """Samples while its block runs.

    Args:
        server_notes: Folder below which PostgreSQL servers leave a ``postmaster.pid``; they are
            not our children, because they outlive who started them.
    """

    def __init__(self, server_notes: Path) -> None:
        self._notes = server_notes
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            total = sum(_size(process) for process in self._processes())
            self.peak_bytes = max(self.peak_bytes, total)
            if self._end.wait(_EVERY_SECONDS):
                return

    def _processes(self) -> set[psutil.Process]:
        roots = [os.getpid(), *_server_pids(self._notes)]
        found: set[psutil.Process] = set()
        for pid in roots:
            try:
                root = psutil.Process(pid)
                found |= {root, *root.children(recursive=True)}
            except psutil.Error:
                continue  # it has just ended
        return found


def _server_pids(folder: Path) -> Iterator[int]:
    for note in folder.glob("*/postmaster.pid"):
        try:
            first = note.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
        except OSError:
            continue
        if first.strip().isdigit():
            yield int(first)


def _size(process: psutil.Process) -> int:
    try:
        sizes = process.memory_full_info()
        return int(getattr(sizes, "pss", sizes.uss))
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.Error:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
