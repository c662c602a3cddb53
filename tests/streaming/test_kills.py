"""Killed at every boundary, again and again: what lands stays exact."""

import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from support.stream.kit import (
    assert_exact,
    assert_landed_once,
    assert_told,
    landed_outcomes,
    now_us,
    own_streams,
    produce_readings,
    run_app,
    start_victim,
)
from support.stream.victim import BOUNDARIES

from demo.sensors.readings import Dirt, of_streams
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
    for stream in streams:
        assert_told(tmp_path, kafka, stream)


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


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.timeout(3600)
def test_kills_amid_all_that_happens_in_a_year(kafka: Broker, tmp_path: Path) -> None:
    """Aborted transactions, groups, resets, partitions added, a trimmed head: between victims.

    Every record that was visible lands, and lands once.
    """
    (stream,) = own_streams(("power",))
    admin = AdminClient(kafka.client_config())
    ensure_topics(kafka, [stream])
    chance, sent, kills = random.Random(3), 0, 0
    seen: set[Any] = set()
    for turn in range(20):
        sent += produce_transactions(kafka, stream, chance, tag=str(turn))
        seen |= {(r.partition(), r.offset(), r.value()) for r in visible(kafka, stream)}
        # Static membership would be of the group before: the dead member is waited for.
        victim = start_victim(
            tmp_path,
            kafka,
            [stream],
            boundary=BOUNDARIES[turn % len(BOUNDARIES)],
            idle=9,
            chance=0.8,
            seed=turn,
            rows=300,
            consumer={"group.instance.id": "victim"},
            group=f"{stream.topic}-{turn // 5}",
        )
        out, _ = victim.communicate(timeout=120)
        assert victim.returncode in (0, -9), out
        kills += victim.returncode == -9
        if turn == 6:
            done(admin.create_partitions([NewPartitions(stream.topic, 6)]))
        if turn == 11:
            # Of what has landed, retention takes a part.
            landed = {p for p, _ in landed_outcomes(tmp_path, stream)}
            done(admin.delete_records([TopicPartition(stream.topic, p, 20) for p in landed]))
        if turn % 5 == 4:
            # The next group is told to begin at the first record.
            reset(kafka, stream, f"{stream.topic}-{(turn + 1) // 5}")
    assert kills >= 8
    run_app(tmp_path, kafka, [stream], idle=8, group=f"{stream.topic}-last")
    assert assert_landed_once(tmp_path, stream) == len(seen) == sent
    assert_told(tmp_path, kafka, stream)
    landed_places = set(landed_outcomes(tmp_path, stream))
    assert landed_places == {(partition, offset) for partition, offset, _ in seen}


def done(answers: dict[Any, Any]) -> None:
    for answer in answers.values():
        answer.result(20)


def reset(broker: Broker, stream: StreamConfig, group: str) -> None:
    consumer = Consumer({**broker.client_config(), "group.id": group})
    consumer.commit(offsets=[TopicPartition(stream.topic, 0, 0)], asynchronous=False)
    consumer.close()


def visible(broker: Broker, stream: StreamConfig) -> list[Any]:
    """The topic's committed records, read to its end."""
    config = {"group.id": "truth", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**broker.client_config(), **config})
    left = set(consumer.list_topics(stream.topic, timeout=10).topics[stream.topic].partitions)
    consumer.assign([TopicPartition(stream.topic, number, OFFSET_BEGINNING) for number in left])
    records = []
    while left:
        batch = consumer.consume(1000, timeout=20)
        assert batch
        for message in batch:
            if message.error() is None:
                records.append(message)
            else:
                left.discard(message.partition())
    consumer.close()
    return records


def produce_transactions(
    broker: Broker, stream: StreamConfig, chance: random.Random, *, tag: str
) -> int:
    """Some transactions of a foreign producer, some of them aborted; how much was committed."""
    config = {"transactional.id": f"{stream.topic}-{tag}", "compression.type": "zstd"}
    producer = Producer({**broker.client_config(), **config})
    producer.init_transactions(20)
    start_us, count = now_us() - 2_000_000, 0
    source = of_streams(
        [stream], seed=int(tag), start_us=start_us, rate=400, devices=8, dirt=Dirt(garbage=0.01)
    )
    for _ in range(5):
        producer.begin_transaction()
        records = list(islice(source, chance.randint(20, 200)))
        for _, message in records:
            producer.produce(stream.topic, message.value, message.key)
        if chance.random() < 0.3:
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
            count += len(records)
    return count
