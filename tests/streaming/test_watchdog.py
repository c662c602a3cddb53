"""The watchdog sees reading that is no reading, and holds still while there is nothing to do."""

import time

import pytest

from streaming.watchdog import Watchdog


def after(seconds: int, *, rate: float, waits: int, holds: bool, lands: bool = True) -> str | None:
    """What it says after so many seconds of reading at a rate, with a checkpoint each second."""
    watchdog = Watchdog(900)
    began = time.monotonic()
    for second in range(seconds):
        now = began + second
        if lands:
            watchdog.landed(now)
        watchdog.look(now, read=int(second * rate), waits=waits, holds=holds)
    return watchdog.stalled(began + seconds)


@pytest.mark.parametrize("rate", [0, 1])
def test_checkpoints_alone_are_no_progress(rate: float) -> None:
    said = after(1000, rate=rate, waits=95_334, holds=True)
    assert said is not None
    assert "next to nothing read" in said


def test_whoever_reads_or_has_nothing_to_read_is_left_alone() -> None:
    assert after(2000, rate=500, waits=95_334, holds=True) is None
    assert after(2000, rate=0, waits=0, holds=False, lands=False) is None
    # A trickle that is read as it comes.
    assert after(2000, rate=1, waits=1, holds=True) is None


def test_reading_without_a_checkpoint_is_no_progress() -> None:
    said = after(1000, rate=500, waits=95_334, holds=True, lands=False)
    assert said is not None
    assert "no checkpoint" in said


def test_what_was_said_to_wait_is_left_alone() -> None:
    watchdog = Watchdog(900)
    began = time.monotonic()
    for second in range(2000):
        watchdog.look(began + second, read=0, waits=100, holds=True)
        watchdog.excuse(began + second)
    assert watchdog.stalled(began + 2000) is None
