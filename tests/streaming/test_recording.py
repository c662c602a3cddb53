"""A recorded file as messages: at any speed no message is ahead of the broker's clock."""

import json
from itertools import islice, pairwise
from pathlib import Path

import pytest
from support.stream.declared import CLIMATE, POWER

from demo.sensors.readings import readings
from lakehouse.errors import LakeError
from streaming.config import SECOND_US
from streaming.events import parse_time
from streaming.recording import recorded

START = parse_time("2026-03-01T12:00:00Z")


def write(path: Path, count: int) -> Path:
    source = readings(CLIMATE, seed=3, start_us=START, rate=10, devices=5)
    lines = [message.value for message in islice(source, count)]
    path.write_bytes(b"\n".join([b"# not a reading", *lines]))
    return path


@pytest.mark.parametrize("speed", [0.0, 0.5, 1.0, 60.0])
def test_a_recording_is_never_ahead_of_the_brokers_clock(tmp_path: Path, speed: float) -> None:
    now = parse_time("2026-11-01T00:00:00Z")
    found = list(
        recorded(write(tmp_path / "f", 100), CLIMATE, speed=speed, now_us=now, keep_times=False)
    )
    assert len(found) == 100
    for reading in found:
        waited = (reading.due_us - found[0].due_us) / speed if speed else 0
        assert reading.at_us <= now + waited + SECOND_US
        assert parse_time(json.loads(reading.value)["timestamp"]) == reading.at_us
    steps = {b.at_us - a.at_us for a, b in pairwise(found)}
    assert steps == {100_000}


def test_a_recording_can_keep_its_times(tmp_path: Path) -> None:
    found = recorded(write(tmp_path / "f", 3), CLIMATE, speed=0, now_us=START, keep_times=True)
    assert [reading.at_us - START for reading in found] == [0, 100_000, 200_000]


def test_a_file_without_readings_is_said(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="holds no readings of power"):
        list(recorded(write(tmp_path / "f", 3), POWER, speed=0, now_us=0, keep_times=False))
