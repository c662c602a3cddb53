"""When a checkpoint is due."""

from itertools import pairwise

import pytest

from streaming.checkpoint_pace import CheckpointLimits, CheckpointPace


def checkpoints(rate: float, seconds: int, step: float = 0.5) -> list[float]:
    """Moments of the checkpoints while records come evenly."""
    pace, rows, made, now = CheckpointPace(CheckpointLimits(), 0.0), 0.0, [], 0.0
    while now < seconds:
        now += step
        rows += rate * step
        if pace.due(now, int(rows), 0):
            made.append(now)
            pace.done(now)
            rows = 0
    return made


@pytest.mark.parametrize("rate", [1, 11, 50])
def test_a_day_of_few_records_makes_at_most_300_files_in_both_tables(rate: float) -> None:
    assert 2 * len(checkpoints(rate, 86_400)) <= 300


def test_much_is_landed_within_seconds() -> None:
    made = checkpoints(1000, 600)
    assert max(b - a for a, b in pairwise(made)) <= 3


def test_the_first_rows_are_landed_soon_at_any_rate() -> None:
    assert checkpoints(1, 60)[0] <= 6


def test_more_records_never_wait_longer() -> None:
    pace = CheckpointPace(CheckpointLimits(), 0.0)
    for _ in range(20):
        pace.done(0.0)
    waits = [pace.wait_for(rate) for rate in range(1, 2000)]
    assert waits == sorted(waits, reverse=True)
    assert (waits[0], waits[-1]) == (600.0, 2.5)


def test_size_makes_a_checkpoint_due_at_once() -> None:
    pace = CheckpointPace(CheckpointLimits(), 0.0)
    assert pace.due(0.1, 50_000, 0)
    assert pace.due(0.1, 1, 64 << 20)
