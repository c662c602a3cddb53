"""What is invented: the same seed the same bytes, and the truth about every kind of dirt."""

from collections import Counter
from dataclasses import fields, replace
from itertools import islice

import pytest
from support.stream.declared import CLIMATE, POWER, STREAMS

from demo.sensors.readings import DUPLICATE, GOOD, LATE, Dirt, interleave, of_streams, readings
from lakehouse.errors import LakeError
from streaming.config import StreamConfig
from streaming.events import Event, decoder, parse_time
from streaming.producer import Message

START = parse_time("2026-03-01T12:00:00Z")


def some(
    config: StreamConfig, count: int, dirt: Dirt | None = None, seed: int = 3
) -> list[Message]:
    source = readings(config, seed=seed, start_us=START, rate=10, devices=5, dirt=dirt or Dirt())
    return list(islice(source, count))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert some(POWER, 500) == some(POWER, 500)
    assert some(POWER, 500) != some(POWER, 500, seed=4)


@pytest.mark.parametrize("config", STREAMS.values(), ids=STREAMS)
def test_dirt_is_what_its_kind_says(config: StreamConfig) -> None:
    decode = decoder(config)
    dirt = Dirt(*[0.1] * len(fields(Dirt)))
    found: dict[str, Counter[bool]] = {}
    for reading in some(config, 4000, dirt):
        event = decode(reading.value, reading.key, reading.due_us)
        found.setdefault(reading.kind, Counter())[isinstance(event, Event)] += 1
        if isinstance(event, Event):
            assert (event.device, event.at_us) == (reading.device, reading.at_us)
            assert reading.kind != GOOD or not event.keep_payload
    assert set(found) == {field.name for field in fields(Dirt)} | {GOOD}
    for kind, validity in found.items():
        assert set(validity) == {kind in (GOOD, DUPLICATE, LATE)}, kind


def test_two_streams_come_in_the_order_of_their_times() -> None:
    both = interleave((c, iter(some(c, 50))) for c in (POWER, CLIMATE))
    due = [reading.due_us for _, reading in both]
    assert len(due) == 100
    assert due == sorted(due)


def test_a_stream_that_nobody_can_invent_is_named() -> None:
    wind = replace(POWER, name="wind")
    with pytest.raises(LakeError, match="cannot invent readings of wind"):
        of_streams([CLIMATE, wind], seed=1, start_us=START)
