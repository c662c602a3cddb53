"""The records that all candidates read: one topic, filled once, and how their cost is counted.

Here belongs what must be the same for everybody.
"""

import json
import os
import resource
import time
from dataclasses import replace
from itertools import islice

from demo.sensors.readings import Dirt, readings
from lakehouse.settings import load_settings
from streaming.brokers import Broker
from streaming.config import StreamConfig, load_streams
from streaming.producer import MessageProducer, produce_paced
from streaming.topics import ensure_topics

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


def fill(broker: Broker, topic: str, events: int) -> None:
    """Produce the records, one in fourteen of them dirty, late or twice."""
    stream = bench_stream(topic)
    ensure_topics(broker, [stream])
    start_us = time.time_ns() // 1000 - int(events / RATE * 1e6)
    source = readings(stream, seed=1, start_us=start_us, rate=RATE, devices=DEVICES, dirt=Dirt())
    with MessageProducer(broker) as producer:
        produce_paced(producer, ((stream, each) for each in islice(source, events)), speed=0)


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
