"""Locks: exclusive, named, and free again the moment their holder dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.locks import LockHeldError, current_holder, file_lock

HOLDER = """
import sys, time
from pathlib import Path
from lakehouse.locks import file_lock
with file_lock(Path(sys.argv[1]), purpose='a long load'):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "x.lock"


def test_a_second_taker_is_told_who_holds_it_and_gets_it_when_the_holder_is_killed(
    path: Path,
) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        sentence = rf"already running: a long load \(pid {holder.pid}, since .* UTC\)"
        with pytest.raises(LockHeldError, match=sentence), file_lock(path, purpose="", wait=False):
            pass
        told: list[str] = []

        def on_wait(message: str) -> None:
            told.append(message)
            os.kill(holder.pid, signal.SIGKILL)

        with file_lock(path, purpose="mine", on_wait=on_wait):
            assert str(current_holder(path)).startswith(f"mine (pid {os.getpid()}")
        assert told[0].startswith(f"waiting for a long load (pid {holder.pid}")
    assert current_holder(path) is None


def test_a_lock_that_was_never_taken_has_no_holder(path: Path) -> None:
    assert current_holder(path) is None
