"""The records that all candidates read: one topic, filled once, and how their cost is counted.

Here belongs what must be the same for everybody.
"""

import json
import os
import resource
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from demo.sensors.readings import Dirt, readings
from lakehouse.settings import load_settings
from streaming.brokers import Broker
from streaming.config import StreamConfig, load_streams
from streaming.producer import Message, MessageProducer, produce_paced
from streaming.topics import INPUT_CONFIG, ensure_topics

DEVICES = 100
RATE = 400.0
"""Readings per second of event time: four a second and device, 240 in a minute."""


def bench_stream(topic: str) -> StreamConfig:
    """The power stream on topics of its own."""
    return replace(
        load_streams(load_settings())["power"],
        topic=topic,
        minutes_topic=f"{topic}-minutes",
        dead_letter_topic=f"{topic}-dead",
    )


def fill(
    broker: Broker, topic: str, events: int, *, age: float = 0.0, devices: int = DEVICES
) -> None:
    """Produce the records, one in fourteen of them dirty, late or twice.

    Args:
        broker: Where to.
        topic: The topic; it is made.
        events: How many records.
        age: Seconds that have passed since, by the records' broker timestamps too.
        devices: How many devices; the rate of each is the same.
    """
    stream = bench_stream(topic)
    rate = RATE * devices / DEVICES
    start_us = time.time_ns() // 1000 - int((events / rate + age) * 1e6)
    source = readings(stream, seed=1, start_us=start_us, rate=rate, devices=devices, dirt=Dirt())
    records = islice(source, events)
    if age:
        _fill_old(broker, stream, records)
        return
    ensure_topics(broker, [stream])
    with MessageProducer(broker) as producer:
        produce_paced(producer, ((stream, each) for each in records), speed=0)


def _fill_old(broker: Broker, stream: StreamConfig, records: Iterable[Message]) -> None:
    """Only a topic that its producers stamp can be given an old record."""
    config = INPUT_CONFIG | {"message.timestamp.type": "CreateTime"}
    admin = AdminClient(broker.client_config())
    made = admin.create_topics([NewTopic(stream.topic, stream.partitions, 1, config=config)])
    made[stream.topic].result(20)
    ensure_topics(broker, [stream])
    producer = Producer(
        {**broker.client_config(), "linger.ms": 20, "partitioner": "murmur2_random"}
    )
    for record in records:
        while True:
            try:
                producer.produce(
                    stream.topic, record.value, record.key, timestamp=record.due_us // 1000
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(60)


class Meter:
    """Counts a candidate's CPU and time from its first record to its last."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0

    def start(self) -> None:
        """The first record is about to be read."""
        self._cpu, self._wall = _cpu_seconds(), time.perf_counter()

    def report(self, events: int, **more: object) -> None:
        """Print the result as a JSON line."""
        cpu = _cpu_seconds() - self._cpu
        wall = time.perf_counter() - self._wall
        result = {
            "events": events,
            "cpu_us_per_event": cpu / events * 1e6,
            "events_per_second": events / wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **more,
        }
        os.write(1, (json.dumps(result) + "\n").encode())


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
