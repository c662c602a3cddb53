"""Streams of their own topics, the truth recounted from the topic, and what has landed."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import orjson
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, TopicPartition

from demo.sensors.readings import Dirt, of_streams
from lakehouse.settings import Settings
from streaming.app import RunOptions, StreamApp
from streaming.brokers import Broker
from streaming.checkpoint_pace import CheckpointLimits
from streaming.config import MICRO, StreamConfig
from streaming.events import Event, decoder
from streaming.outages import through_outages
from streaming.producer import MessageProducer, produce_paced
from streaming.windows import REJECTED, PartitionWindows
from support.stream.declared import STREAMS

QUICK = CheckpointLimits(slowest=1.0, fastest=0.3, first=0.3)
SESSION = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
Windows = dict[tuple[str, int], tuple[Any, ...]]


def own_streams(names: tuple[str, ...] = ("power", "climate")) -> list[StreamConfig]:
    """Streams with topics that no other test uses."""
    tag = secrets.token_hex(4)
    return [
        replace(
            STREAMS[name],
            topic=f"{name}-in-{tag}",
            minutes_topic=f"{name}-minutes-{tag}",
            dead_letter_topic=f"{name}-dead-{tag}",
        )
        for name in names
    ]


def now_us() -> int:
    return time.time_ns() // 1000


def produce_readings(
    broker: Broker,
    streams: list[StreamConfig],
    count: int,
    *,
    dirt: Dirt | None = None,
    seed: int = 1,
    rate: float = 20,
    devices: int = 8,
    start_us: int | None = None,
) -> Counter[tuple[str, str]]:
    """Produce readings at full speed; returns what was acknowledged."""
    start = start_us or now_us() - int(count / len(streams) / rate * 1e6) - 60_000_000
    messages = of_streams(
        streams,
        seed=seed,
        start_us=start,
        rate=rate,
        devices=devices,
        dirt=dirt or Dirt(garbage=0.005, future=0.005, no_key=0.005),
    )
    with MessageProducer(broker) as producer:
        produce_paced(producer, islice(messages, count), speed=0)
    return producer.deliveries.acknowledged


def produce_raw(broker: Broker, topic: str, *messages: tuple[bytes | None, bytes | None]) -> None:
    from confluent_kafka import Producer

    producer = Producer({**broker.client_config(), "message.max.bytes": 8 << 20})
    for key, value in messages:
        producer.produce(topic, value, key)
    assert producer.flush(20) == 0


def run_app(
    root: Path, broker: Broker, streams: list[StreamConfig], *, idle: float = 4.0, **more: Any
) -> StreamApp:
    """Run an application until nothing has come for ``idle`` seconds."""
    options = RunOptions(
        group=more.pop("group", "test-" + streams[0].topic),
        stop_when_idle=idle,
        checkpoints=QUICK,
        consumer={**SESSION, **more.pop("consumer", {})},
        **more.pop("options", {}),
    )
    on_tick: Callable[[StreamApp], None] = more.pop("on_tick", lambda _: None)

    def attempt() -> StreamApp:
        app = StreamApp(Settings(root=root), broker, streams, options, **more)
        app.on_tick = lambda: on_tick(app)
        app.run()
        return app

    return through_outages(attempt, patience=60)


def topic_records(broker: Broker, topic: str) -> list[Any]:
    """Every record of a topic, by partition and offset, read without any of our code."""
    config = {"group.id": "truth", "enable.auto.commit": False}
    consumer = Consumer({**broker.client_config(), **config})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    places, left = [], 0
    for number in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        places.append(TopicPartition(topic, number, low))
        left += high - low
    consumer.assign(places)
    records: list[Any] = []
    while left > 0:
        batch = consumer.consume(min(left, 10_000), timeout=20)
        assert batch, "the topic ends early"
        assert all(message.error() is None for message in batch)
        records += batch
        left -= len(batch)
    consumer.close()
    return sorted(records, key=lambda message: (message.partition(), message.offset()))


def recount(
    broker: Broker, stream: StreamConfig
) -> tuple[dict[tuple[int, int], str], Windows, dict[str, Any]]:
    """Outcome of each record and each minute, by the reducer over the whole topic at once."""
    decode, partitions = decoder(stream), {}
    outcomes: dict[tuple[int, int], str] = {}
    dead: dict[str, Any] = {}
    for message in topic_records(broker, stream.topic):
        place = (message.partition(), message.offset())
        windows = partitions.setdefault(place[0], PartitionWindows(stream))
        kind, broker_ms = message.timestamp()
        broker_us, stamped = broker_ms * 1000, kind == TIMESTAMP_LOG_APPEND_TIME
        found = decode(message.value(), message.key(), broker_us)
        if isinstance(found, Event):
            outcomes[place] = windows.process(found, broker_us, place[1], stamped=stamped)
        else:
            windows.observe(broker_us, stamped=stamped)
            outcomes[place] = REJECTED
            dead[f"{place[0]}/{place[1]}"] = (",".join(found), message.value())
    minutes = {
        key: (window.count, window.duplicates, window.sums, window.lows, window.highs)
        for windows in partitions.values()
        for key, window in windows.changed.items()
    }
    return outcomes, minutes, dead


def assert_told(root: Path, broker: Broker, stream: StreamConfig) -> None:
    """What has landed as final or rejected is on its topic as well, at least once."""
    letters = {
        f"{headers['partition']}/{headers['offset']}"
        for message in topic_records(broker, stream.dead_letter_topic)
        for headers in [{name: value.decode() for name, value in message.headers()}]
    }
    assert set(landed_dead(root, stream)) <= letters
    told = set()
    for message in topic_records(broker, stream.minutes_topic):
        said = orjson.loads(message.value())
        told.add((message.key().decode(), said["window_start_us"], said["event_count"]))
    with duckdb.connect() as db:
        final = db.execute(
            f"""select device, epoch_us(window_start), event_count
            from '{_files(root, stream.windows_table)}' where topic = ? and is_final""",
            [stream.topic],
        ).fetchall()
    assert set(final) <= told


def assert_landed_once(root: Path, stream: StreamConfig) -> int:
    """No record landed twice, and every minute is the sum of the accepted ones; how many landed."""
    events, windows = _files(root, stream.events_table), _files(root, stream.windows_table)
    sums = ", ".join(f"sum({m.name}) filter (outcome = 'accepted')" for m in stream.measures)
    told = ", ".join(f"{m.name}_sum" for m in stream.measures)
    place = "log_id, topic_partition"
    with duckdb.connect() as db:
        rows, records = db.execute(
            f"""select count(*), count(distinct (log_id, topic_partition, record_offset))
            from '{events}' where topic = ?""",
            [stream.topic],
        ).fetchall()[0]
        assert rows == records, "a record landed twice"
        recounted = db.execute(
            f"""select {place}, device, time_bucket(interval '1 minute', event_at) as start,
                count(*) filter (outcome = 'accepted'),
                count(*) filter (outcome = 'duplicate'), {sums}
            from '{events}' where topic = ? and outcome in ('accepted', 'duplicate')
            group by all order by all""",
            [stream.topic],
        ).fetchall()
        counted = db.execute(
            f"""select {place}, device, window_start, event_count, duplicate_count, {told}
            from '{windows}' where topic = ?
            qualify row_number() over (partition by {place}, device, window_start
                order by version desc, is_final desc) = 1
            order by all""",
            [stream.topic],
        ).fetchall()
    assert counted == recounted
    return int(rows)


def _files(root: Path, table: str) -> str:
    return f"{root}/data/raw/stream/{table}/*/*.parquet"


def landed_outcomes(root: Path, stream: StreamConfig) -> dict[tuple[int, int], str]:
    """Outcome of each landed record; a record that landed twice must say the same twice."""
    if not list(root.glob(f"data/raw/stream/{stream.events_table}/*/*.parquet")):
        return {}
    with duckdb.connect() as db:
        rows = db.execute(
            f"""select distinct
                topic_partition, record_offset, outcome, reasons, device, event_at, payload
            from '{_files(root, stream.events_table)}' where topic = ?""",
            [stream.topic],
        ).fetchall()
    found = {(row[0], row[1]): row[2] for row in rows}
    assert len(found) == len(rows), "a replay decided a record differently"
    return found


def landed_windows(root: Path, stream: StreamConfig) -> Windows:
    """The newest version of each landed minute."""
    sides = [
        [f"({m.name}_{side}::decimal(38, 6) * {MICRO})::int8" for m in stream.measures]
        for side in ("sum", "min", "max")
    ]
    values = ", ".join(f"[{', '.join(side)}]" for side in sides)
    with duckdb.connect() as db:
        rows = db.execute(
            f"""select device, epoch_us(window_start), event_count, duplicate_count, {values}
            from '{_files(root, stream.windows_table)}' where topic = ?
            qualify row_number() over (
                partition by device, window_start order by version desc, is_final desc) = 1""",
            [stream.topic],
        ).fetchall()
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def landed_dead(root: Path, stream: StreamConfig) -> dict[str, Any]:
    with duckdb.connect() as db:
        rows = db.execute(
            f"""select distinct topic_partition, record_offset, reasons, payload
            from '{_files(root, stream.events_table)}' where topic = ? and outcome = 'rejected'""",
            [stream.topic],
        ).fetchall()
    return {f"{row[0]}/{row[1]}": (row[2], row[3]) for row in rows}


def assert_exact(root: Path, broker: Broker, streams: list[StreamConfig], sent: int) -> None:
    """What landed is what the topic holds: every record once, every minute, every dead letter."""
    total = 0
    for stream in streams:
        outcomes, minutes, dead = recount(broker, stream)
        assert landed_outcomes(root, stream) == outcomes
        assert landed_windows(root, stream) == minutes
        assert landed_dead(root, stream) == dead
        total += len(outcomes)
    assert total == sent


def start_victim(
    root: Path,
    broker: Broker,
    streams: list[StreamConfig],
    *,
    boundary: str,
    idle: float,
    chance: float = 0.25,
    seed: int = 0,
    rows: int = 1500,
    consumer: dict[str, object] | None = None,
    group: str | None = None,
) -> "subprocess.Popen[str]":
    """Start a process that runs an application and kills itself at a boundary; see ``victim``."""
    fields = ("topic", "minutes_topic", "dead_letter_topic")
    order = {
        "root": str(root),
        "bootstrap": broker.bootstrap,
        "embedded_id": broker.embedded_id,
        "streams": {s.name: {f: getattr(s, f) for f in fields} for s in streams},
        "group": group or "test-" + streams[0].topic,
        "boundary": boundary,
        "chance": chance,
        "seed": seed,
        "idle": idle,
        "rows": rows,
        "consumer": consumer or {},
    }
    tests = Path(__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "support.stream.victim", json.dumps(order)],
        cwd=tests,
        # This checkout's code, whichever one the environment was installed from.
        env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
        stdout=subprocess.PIPE,
        text=True,
    )
