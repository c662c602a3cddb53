"""What happens to a stream in a year, on a real broker: nothing lost, doubled or contradicted."""

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
from quixstreams.internal_consumer import InternalConsumer
from support.stream.kit import (
    assert_exact,
    assert_landed_once,
    landed_dead,
    landed_outcomes,
    now_us,
    own_streams,
    produce_raw,
    produce_readings,
    run_app,
    topic_records,
)

from demo.sensors.readings import CLEAN
from lakehouse.settings import Settings
from streaming.app import StreamApp
from streaming.brokers import Broker
from streaming.config import SECOND_US, StreamConfig
from streaming.outputs import MAX_DEAD_LETTER_BYTES
from streaming.status import partition_status
from streaming.topics import INPUT_CONFIG, ensure_topics

pytestmark = [pytest.mark.slow, pytest.mark.kafka]


@pytest.fixture
def admin(kafka: Broker) -> AdminClient:
    return AdminClient(kafka.client_config())


@pytest.fixture
def stream(kafka: Broker) -> StreamConfig:
    (found,) = own_streams(("power",))
    return found


def done(answers: dict[Any, Any]) -> None:
    for answer in answers.values():
        answer.result(20)


def reading(stream: StreamConfig, device: str, at_us: int, **more: object) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_us // SECOND_US))
    fields: dict[str, object] = {m.name: (m.low + m.high) / 2 for m in stream.measures}
    fields |= {stream.device_field: device, stream.time_field: f"{stamp}.{at_us % SECOND_US:06d}Z"}
    return orjson.dumps(fields | dict.fromkeys(stream.attributes, "Oslo") | more)


def make_again(admin: AdminClient, stream: StreamConfig, **config: str) -> None:
    done(admin.delete_topics([stream.topic]))
    while stream.topic in admin.list_topics(timeout=10).topics:
        time.sleep(0.2)
    make(admin, stream, **config)


def make(admin: AdminClient, stream: StreamConfig, **config: str) -> None:
    settings = INPUT_CONFIG | {name.replace("_", "."): value for name, value in config.items()}
    deadline = time.monotonic() + 20
    while True:
        try:
            done(
                admin.create_topics([NewTopic(stream.topic, stream.partitions, 1, config=settings)])
            )
            return
        except KafkaException:
            # The broker has not finished removing the one before.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def landed_by_topic(root: Path, stream: StreamConfig) -> list[int]:
    """Records landed under each identity of a topic, in the order of their landing."""
    with duckdb.connect() as db:
        rows = db.execute(
            f"""select count(*) from '{root}/data/raw/stream/{stream.events_table}/*/*.parquet'
            where topic = ? group by log_id order by min(_batch_id)""",
            [stream.topic],
        ).fetchall()
    return [count for (count,) in rows]


def test_a_backlog_of_any_age_is_read_without_asking_the_broker(
    kafka: Broker,
    admin: AdminClient,
    stream: StreamConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour old by its broker timestamps, several partitions, more than one fetch holds."""
    make(admin, stream, message_timestamp_type="CreateTime")
    ensure_topics(kafka, [stream])
    old = time.time_ns() // 1_000_000 - 3_600_000
    producer = Producer({**kafka.client_config(), "linger.ms": 50})
    count = 60_000
    for number in range(count):
        device = f"d{number % 40}"
        at_us = (old + number) * 1000
        producer.produce(
            stream.topic, reading(stream, device, at_us), device, timestamp=old + number
        )
        producer.poll(0)
    producer.flush(60)
    asked: list[str] = []
    for name in ("get_watermark_offsets", "committed", "list_topics"):
        original = getattr(InternalConsumer, name)

        def counted(
            self: Any, *args: Any, _of: Any = original, _name: str = name, **more: Any
        ) -> Any:
            if not more.get("cached"):
                asked.append(_name)
            return _of(self, *args, **more)

        monkeypatch.setattr(InternalConsumer, name, counted)
    app = run_app(tmp_path, kafka, [stream], idle=6)
    assert app.records == count
    assert not any(app.lag.values())
    assert len(asked) <= 2 * stream.partitions + 4, (
        "the consumer's own questions wait behind fetches"
    )
    assert_exact(tmp_path, kafka, [stream], count)


def test_a_topic_made_again_while_it_is_read_is_another_topic(
    kafka: Broker, admin: AdminClient, stream: StreamConfig, tmp_path: Path
) -> None:
    ensure_topics(kafka, [stream])
    produce_readings(kafka, [stream], 1000, dirt=CLEAN)
    ticks: list[float] = []

    def make_it_again(app: StreamApp) -> None:
        # Some checkpoints later, so that it is known that the first thousand were of the first.
        if app.records == 1000 and not ticks:
            ticks.append(time.monotonic() + 5)
        if ticks and time.monotonic() > ticks[0] and len(ticks) == 1:
            ticks.append(0)
            make_again(admin, stream)
            # More than before: offsets beyond what was read of the first exist in the second.
            produce_readings(kafka, [stream], 3000, seed=2, dirt=CLEAN)

    run_app(tmp_path, kafka, [stream], idle=20, on_tick=make_it_again)
    assert len(ticks) == 2
    assert landed_by_topic(tmp_path, stream) == [1000, 3000]
    assert assert_landed_once(tmp_path, stream) == 4000


def test_a_topic_made_again_between_two_runs_is_another_topic(
    kafka: Broker, admin: AdminClient, stream: StreamConfig, tmp_path: Path
) -> None:
    """As after the loss of the broker's data, while ours stays."""
    ensure_topics(kafka, [stream])
    produce_readings(kafka, [stream], 1000)
    run_app(tmp_path, kafka, [stream])
    make_again(admin, stream)
    produce_readings(kafka, [stream], 600, seed=2)
    run_app(tmp_path, kafka, [stream])
    assert landed_by_topic(tmp_path, stream) == [1000, 600]
    assert_landed_once(tmp_path, stream)


def test_a_topic_that_is_gone_is_waited_for(
    kafka: Broker,
    admin: AdminClient,
    stream: StreamConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ensure_topics(kafka, [stream])
    produce_readings(kafka, [stream], 500, dirt=CLEAN)
    steps: list[float] = []

    def remove_then_make(app: StreamApp) -> None:
        now = time.monotonic()
        if app.records == 500 and not steps:
            done(admin.delete_topics([stream.topic]))
            steps.append(now)
        if len(steps) == 1 and now > steps[0] + 6:
            assert app.waiting is not None
            make(admin, stream)
            produce_readings(kafka, [stream], 500, seed=2, dirt=CLEAN)
            steps.append(now)

    run_app(tmp_path, kafka, [stream], idle=18, on_tick=remove_then_make)
    assert any("is gone; waiting" in record.message for record in caplog.records)
    assert landed_by_topic(tmp_path, stream) == [500, 500]


@pytest.mark.parametrize("least", [1_000, 8 << 20])
def test_a_record_of_any_size_becomes_a_dead_letter(
    kafka: Broker, admin: AdminClient, stream: StreamConfig, tmp_path: Path, least: int
) -> None:
    make(admin, stream, max_message_bytes=str(64 << 20))
    small = {"max.message.bytes": str(least)}
    done(admin.create_topics([NewTopic(stream.dead_letter_topic, 1, 1, config=small)]))
    ensure_topics(kafka, [stream])
    noise = random.Random(1).randbytes((8 << 20) - 300)
    records = [b"[" + b"1," * (10 << 20) + b"1]", noise, noise + b"x" * (3 << 20)]
    big = {"message.max.bytes": 64 << 20, "compression.type": "gzip"}
    producer = Producer({**kafka.client_config(), **big})
    for value in records:
        producer.produce(stream.topic, value, b"a")
        producer.flush(60)
    producer.produce(stream.topic, records[1], b"k" * (1 << 20))
    producer.flush(60)
    now = now_us()
    produce_raw(kafka, stream.topic, *((b"a", reading(stream, "a", now + n)) for n in range(50)))
    app = run_app(tmp_path, kafka, [stream], idle=8)
    assert app.outcomes["power"] == {"accepted": 50, "late": 0, "duplicate": 0, "rejected": 4}
    kept = sorted(len(payload) for _, payload in landed_dead(tmp_path, stream).values())
    assert kept == sorted([*map(len, records), len(noise)]), "raw keeps all of it"
    letters = topic_records(kafka, stream.dead_letter_topic)
    assert len(letters) == 4
    whole = []
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers()}
        assert headers["reasons"] == "too_large"
        assert {"topic", "partition", "offset"} <= set(headers)
        assert len(letter.value()) <= min(MAX_DEAD_LETTER_BYTES, least)
        whole.append(int(headers["bytes"]))
    assert sorted(whole) == kept
    assert run_app(tmp_path, kafka, [stream], idle=2).records == 0


def test_another_group_a_reset_and_a_trimmed_head_contradict_nothing(
    kafka: Broker,
    admin: AdminClient,
    stream: StreamConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ensure_topics(kafka, [stream])
    produce_readings(kafka, [stream], 1500)
    run_app(tmp_path, kafka, [stream])
    group = "test-" + stream.topic
    # Kafka's own offsets decide nothing: reset to the earliest, forward, or of a new group.
    for offset in (0, 5):
        consumer = Consumer({**kafka.client_config(), "group.id": group})
        places = [TopicPartition(stream.topic, n, offset) for n in range(stream.partitions)]
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()
        assert run_app(tmp_path, kafka, [stream], idle=2).records == 0
    assert run_app(tmp_path, kafka, [stream], idle=2, group=f"{group}-again").records == 0
    trimmed = [TopicPartition(stream.topic, n, 100) for n in range(stream.partitions)]
    done(admin.delete_records(trimmed))
    assert run_app(tmp_path, kafka, [stream], idle=2, group=f"{group}-more").records == 0
    produce_readings(kafka, [stream], 1000, seed=2)
    # What has been trimmed unread is said once; what follows is read.
    status = {
        each.partition: each
        for each in partition_status(kafka, [stream], "any", tmp_root(tmp_path))
    }
    lost = {n: each.end - 10 for n, each in status.items() if each.end - 10 > (each.landed or 0)}
    assert lost
    done(admin.delete_records([TopicPartition(stream.topic, n, at) for n, at in lost.items()]))
    caplog.clear()
    run_app(tmp_path, kafka, [stream])
    said = [record.message for record in caplog.records if "are gone" in record.message]
    assert len(said) == len(lost)
    run_app(tmp_path, kafka, [stream], idle=2)
    assert len([record for record in caplog.records if "are gone" in record.message]) == len(lost)
    assert_landed_once(tmp_path, stream)


def tmp_root(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path)


def test_retention_behind_the_reader_is_gone_and_said(
    kafka: Broker,
    admin: AdminClient,
    stream: StreamConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ensure_topics(kafka, [stream])
    produce_readings(kafka, [stream], 2000, dirt=CLEAN)
    trimmed: list[int] = []

    def trim(app: StreamApp) -> None:
        if app.records >= 2000 and not trimmed:
            trimmed.append(1)
            for seed in range(2, 10):
                produce_readings(kafka, [stream], 500, seed=seed, dirt=CLEAN)
            ends = partition_status(kafka, [stream], "any", tmp_root(tmp_path))
            places = [TopicPartition(stream.topic, p.partition, p.end - 5) for p in ends]
            done(admin.delete_records(places))

    # Next to nothing is read ahead, so that there is something to be trimmed unread.
    little = {"queued.max.messages.kbytes": 1, "fetch.message.max.bytes": 1000}
    run_app(tmp_path, kafka, [stream], idle=8, on_tick=trim, consumer=little)
    assert any("are gone: the broker removed them" in r.message for r in caplog.records)
    assert_landed_once(tmp_path, stream)
    landed, visible = set(landed_outcomes(tmp_path, stream)), topic_records(kafka, stream.topic)
    assert {(record.partition(), record.offset()) for record in visible} <= landed


def test_partitions_that_are_added_are_read(
    kafka: Broker, admin: AdminClient, stream: StreamConfig, tmp_path: Path
) -> None:
    ensure_topics(kafka, [stream])
    produce_readings(kafka, [stream], 1000)
    added: list[int] = []

    def add(app: StreamApp) -> None:
        if app.records == 1000 and not added:
            done(admin.create_partitions([NewPartitions(stream.topic, 7)]))
            added.append(1)
            # Devices move to other partitions, in the middle of their minutes.
            produce_readings(kafka, [stream], 1500, seed=2, devices=40)

    quick = {"topic.metadata.refresh.interval.ms": 1000}
    run_app(tmp_path, kafka, [stream], idle=12, on_tick=add, consumer=quick)
    assert len({record.partition() for record in topic_records(kafka, stream.topic)}) == 7
    assert assert_landed_once(tmp_path, stream) == 2500
    places = partition_status(kafka, [stream], "test-" + stream.topic, tmp_root(tmp_path))
    assert [place.lag for place in places] == [0] * 7


def test_no_topic_is_made_but_the_streams_own(
    kafka: Broker, admin: AdminClient, tmp_path: Path
) -> None:
    streams = own_streams()
    before = set(admin.list_topics(timeout=10).topics)
    ensure_topics(kafka, streams)
    produce_readings(kafka, streams, 500)
    run_app(tmp_path, kafka, streams)
    made = set(admin.list_topics(timeout=10).topics) - before - {"__consumer_offsets"}
    own = {t for s in streams for t in (s.topic, s.minutes_topic, s.dead_letter_topic)}
    assert made == own


def transactions(kafka: Broker, stream: StreamConfig, start_us: int) -> Iterator[int]:
    """Committed and aborted transactions in turn, one second of events each."""
    producer = Producer({**kafka.client_config(), "transactional.id": stream.topic})
    producer.init_transactions(20)
    for number in range(60):
        producer.begin_transaction()
        for device in ("a", "b", "c", "d", "e"):
            at_us = start_us + number * SECOND_US
            producer.produce(stream.topic, reading(stream, device, at_us), device)
        if number % 3 == 2:
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
            yield 5


def test_transactions_leave_no_lag_and_keep_no_minute_open(
    kafka: Broker, stream: StreamConfig, tmp_path: Path
) -> None:
    ensure_topics(kafka, [stream])
    start = now_us() // 60_000_000 * 60_000_000 - 60_000_000
    committed = sum(transactions(kafka, stream, start))
    emitted: list[tuple[str, int]] = []

    def on_emit(_: object, device: str, window: Any) -> None:
        emitted.append((device, window.count))

    app = run_app(tmp_path, kafka, [stream], idle=40, on_emit=on_emit)
    assert app.records == committed
    assert sorted(emitted) == [(device, 40) for device in "abcde"]
    assert not any(app.lag.values())
    places = partition_status(kafka, [stream], "test-" + stream.topic, tmp_root(tmp_path))
    assert [place.lag for place in places] == [0] * stream.partitions
    assert assert_landed_once(tmp_path, stream) == committed


def test_a_property_of_librdkafka_reaches_it(
    kafka: Broker, stream: StreamConfig, tmp_path: Path
) -> None:
    own = {"session.timeout.ms": "6000", "fetch.wait.max.ms": "50", "client.id": "lake"}
    broker = replace(kafka, properties={**kafka.properties, **own})
    ensure_topics(broker, [stream])
    produce_readings(broker, [stream], 300)
    run_app(tmp_path, broker, [stream])
    assert_exact(tmp_path, broker, [stream], 300)


def test_a_topic_stamped_by_its_producers_is_said_and_one_wrong_clock_harms_nobody(
    kafka: Broker,
    admin: AdminClient,
    stream: StreamConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make(admin, stream, message_timestamp_type="CreateTime")
    ensure_topics(kafka, [stream])
    producer = Producer(kafka.client_config())
    now = time.time_ns() // 1_000_000 - 600_000
    for second in range(300):
        for device in ("a", "b", "c", "d", "e", "f"):
            stamp = now + second * 1000
            value = reading(stream, device, stamp * 1000)
            producer.produce(stream.topic, value, device, timestamp=stamp)
        if second == 100:
            for partition in range(stream.partitions):
                stamp = now + 3_000_000
                value = reading(stream, "wrong", stamp * 1000)
                producer.produce(stream.topic, value, "wrong", partition, timestamp=stamp)
        producer.flush(20)
    app = run_app(tmp_path, kafka, [stream])
    assert app.outcomes["power"]["late"] == 0
    assert app.outcomes["power"]["accepted"] == 300 * 6 + stream.partitions
    assert any("stamped by its producers" in record.message for record in caplog.records)
    assert_landed_once(tmp_path, stream)


def test_an_oversized_output_is_the_only_refusal_that_passes(
    kafka: Broker,
    admin: AdminClient,
    stream: StreamConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each failure is called what it is, and records wait until it is mended."""
    ensure_topics(kafka, [stream])
    caplog.set_level(logging.WARNING)
    resource = ConfigResource(ConfigResource.Type.TOPIC, stream.minutes_topic)
    resource.set_config("max.message.bytes", "20")
    done(admin.alter_configs([resource]))
    start = now_us() - 400 * SECOND_US
    produce_readings(kafka, [stream], 800, dirt=CLEAN, rate=4, start_us=start)
    with pytest.raises(Exception, match=r"refuses: .*[Mm]essage size too large"):
        run_app(tmp_path, kafka, [stream])
    assert not any("away" in record.message for record in caplog.records)
    resource.set_config("max.message.bytes", "1000000")
    done(admin.alter_configs([resource]))
    run_app(tmp_path, kafka, [stream])
    assert_exact(tmp_path, kafka, [stream], 800)
