"""What is sent: the same seed the same bytes, and the truth about every kind of dirt."""

import json
from collections import Counter
from dataclasses import fields
from itertools import islice, pairwise
from pathlib import Path

import pytest

from lakehouse.errors import LakeError
from streaming.config import CLIMATE, POWER, SECOND_US, STREAMS, StreamConfig
from streaming.events import Event, decoder, parse_time
from streaming.producer import interleave
from streaming.readings import DUPLICATE, GOOD, LATE, Dirt, Reading, readings
from streaming.recording import recorded

START = parse_time("2026-03-01T12:00:00Z")


def some(
    config: StreamConfig, count: int, dirt: Dirt | None = None, seed: int = 3
) -> list[Reading]:
    source = readings(config, seed=seed, start_us=START, rate=10, devices=5, dirt=dirt or Dirt())
    return list(islice(source, count))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert some(POWER, 500) == some(POWER, 500)
    assert some(POWER, 500) != some(POWER, 500, seed=4)


@pytest.mark.parametrize("config", STREAMS.values(), ids=STREAMS)
def test_dirt_is_what_the_ledger_calls_it(config: StreamConfig) -> None:
    read = decoder(config)
    dirt = Dirt(*[0.1] * len(fields(Dirt)))
    found: dict[str, Counter[bool]] = {}
    for reading in some(config, 4000, dirt):
        event = read(reading.value, reading.key, reading.due_us)
        found.setdefault(reading.kind, Counter())[isinstance(event, Event)] += 1
        if isinstance(event, Event):
            assert (event.device, event.at_us) == (reading.device, reading.at_us)
            assert reading.kind != GOOD or not event.keep_payload
    assert set(found) == {field.name for field in fields(Dirt)} | {GOOD}
    for kind, validity in found.items():
        assert set(validity) == {kind in (GOOD, DUPLICATE, LATE)}, kind


def test_two_streams_are_sent_in_the_order_of_their_times() -> None:
    both = interleave((c, iter(some(c, 50))) for c in (POWER, CLIMATE))
    due = [reading.due_us for _, reading in both]
    assert len(due) == 100
    assert due == sorted(due)


def write(path: Path, count: int) -> Path:
    lines = [reading.value for reading in some(CLIMATE, count, Dirt(*[0.0] * 8))]
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
