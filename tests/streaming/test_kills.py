"""Killed at every boundary, again and again: what lands stays exact."""

from pathlib import Path

import pytest
from support.stream.kit import (
    assert_exact,
    landed_outcomes,
    now_us,
    own_streams,
    produce_readings,
    run_app,
    start_victim,
)
from support.stream.victim import BOUNDARIES

from streaming.brokers import Broker
from streaming.config import StreamConfig
from streaming.topics import ensure_topics


def kill_often(
    root: Path, broker: Broker, streams: list[StreamConfig], kills: int, events: int
) -> int:
    """Let processes die at each boundary in turn; returns how many events were sent meanwhile."""
    done = attempt = sent = 0
    # A static member is given its partitions back at once; the killed one needs no time-out.
    consumer = {} if broker.is_embedded else {"group.instance.id": "victim"}
    while done < kills:
        # News for each victim: without records there is no checkpoint to die at.
        sent += produce_recent(
            broker, streams, min(events // kills * 2 // 3, events - sent), attempt
        )
        boundary = BOUNDARIES[attempt % len(BOUNDARIES)]
        attempt += 1
        assert attempt < kills * 2, "victims do not die"
        victim = start_victim(
            root,
            broker,
            streams,
            boundary=boundary,
            idle=6,
            chance=0.7,
            seed=attempt,
            rows=700,
            consumer=consumer,
        )
        out, _ = victim.communicate(timeout=120)
        assert victim.returncode in (0, -9), out
        done += victim.returncode == -9
    return sent + produce_recent(broker, streams, events - sent, attempt)


def produce_recent(broker: Broker, streams: list[StreamConfig], count: int, seed: int) -> int:
    """Produce readings of the last seconds, so that no batch is late by the batch before."""
    rate = 400.0
    start_us = now_us() - int(count / len(streams) / rate * 1e6)
    sent = produce_readings(broker, streams, count, seed=seed, rate=rate, start_us=start_us)
    return sum(sent.values())


@pytest.mark.slow
def test_five_kills_on_the_in_process_broker(embedded: Broker, tmp_path: Path) -> None:
    streams = own_streams()
    ensure_topics(embedded, streams)
    sent = kill_often(tmp_path, embedded, streams, kills=5, events=10_000)
    run_app(tmp_path, embedded, streams, idle=8)
    assert_exact(tmp_path, embedded, streams, sent)


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.timeout(3600)
def test_fifty_kills_on_a_real_broker(kafka: Broker, tmp_path: Path) -> None:
    streams = own_streams()
    ensure_topics(kafka, streams)
    sent = kill_often(tmp_path, kafka, streams, kills=50, events=120_000)
    assert sent == 120_000
    run_app(tmp_path, kafka, streams, idle=8)
    assert_exact(tmp_path, kafka, streams, sent)


@pytest.mark.slow
@pytest.mark.kafka
def test_the_other_instance_goes_on_when_one_is_killed(kafka: Broker, tmp_path: Path) -> None:
    streams = own_streams()
    ensure_topics(kafka, streams)
    sent = kills = 0
    for turn, boundary in enumerate(
        ("mid-batch", "after-files", "before-offsets", "after-offsets")
    ):
        sent += sum(produce_readings(kafka, streams, 3000, seed=turn).values())
        # No static members here: the group notices the death and gives the partitions away.
        pair = [
            start_victim(
                tmp_path,
                kafka,
                streams,
                boundary=boundary if instance == turn % 2 else "none",
                idle=15,
                chance=0.5,
                seed=turn,
                rows=300,
            )
            for instance in range(2)
        ]
        for victim in pair:
            out, _ = victim.communicate(timeout=180)
            assert victim.returncode in (0, -9), out
            kills += victim.returncode == -9
        assert pair[1 - turn % 2].returncode == 0
        read = sum(len(landed_outcomes(tmp_path, stream)) for stream in streams)
        assert read == sent, "the survivor did not read the dead one's partitions"
    assert kills >= 2
    assert_exact(tmp_path, kafka, streams, sent)
