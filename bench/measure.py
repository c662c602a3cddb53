"""Measuring whole processes: wall time, and the peak memory of a process with all its children.

Here belongs what every benchmark needs. Here does not belong what is measured.
"""

import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """One finished command: wall seconds, and peak resident bytes of its whole process tree."""

    seconds: float
    peak_bytes: int
    output: str


class FailedCommandError(Exception):
    """The command that was to be measured failed; its output is the message."""


def run(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end and measure it.

    Memory is the sum of the proportional set sizes (resident where the system has no such thing)
    of the command and everything it started, sampled ten times a second.

    Raises:
        FailedCommandError: It did not exit with 0.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peaks = [0]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, done))
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    if process.returncode:
        raise FailedCommandError(f"{' '.join(command)}\n{output}")
    return Run(seconds, peaks[0], output)


def machine() -> str:
    """Name the machine in one line."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}"
    )


def row(name: str, measured: str, bound: str, *, holds: bool) -> str:
    """One line of a result table, 80 columns wide."""
    return f"{name:<38}{measured:>18}{bound:>16}  {'yes' if holds else 'NO'}"


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def _watch(pid: int, peaks: list[int], done: threading.Event) -> None:
    while not done.wait(_SAMPLE_SECONDS):
        try:
            parent = psutil.Process(pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        peaks[0] = max(peaks[0], sum(_memory(member) for member in family))


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
