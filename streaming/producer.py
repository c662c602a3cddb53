"""Producing messages to a stream's topic, at a pace, with the broker's acknowledgement of each.

Here belongs delivery: keys, acknowledgement, clean end. What a message says is its maker's.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import orjson
from confluent_kafka import KafkaException, Producer

from streaming.brokers import Broker, BrokerError
from streaming.clients import make_client
from streaming.config import SECOND_US, StreamConfig
from streaming.topics import MAX_MESSAGE_BYTES

_FLUSH_SECONDS = 30.0
_POLL_EVERY = 0.05


class Message(NamedTuple):
    """One message for a stream's topic.

    Attributes:
        kind: What it is counted as.
        key: Kafka key.
        value: Kafka value.
        device: The device meant.
        at_us: The event time meant, microseconds since 1970 UTC.
        due_us: When it is to be produced, in event time.
    """

    kind: str
    key: bytes | None
    value: bytes
    device: str
    at_us: int
    due_us: int


Addressed = tuple[StreamConfig, Message]
"""A message and the stream it is for."""


@dataclass(slots=True)
class Deliveries:
    """What became of messages: acknowledged ones by stream and kind, and how many failed."""

    acknowledged: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: int = 0

    @property
    def total(self) -> int:
        """Acknowledged messages."""
        return self.acknowledged.total()


class MessageProducer:
    """Produces messages; leaving the block waits until the broker has acknowledged each.

    Args:
        broker: Where to.
        report: File that gets a JSON line for each acknowledged message: stream, kind, device,
            event time, partition and offset. None writes none.
    """

    def __init__(self, broker: Broker, report: Path | None = None) -> None:
        self.deliveries = Deliveries()
        self._broker = broker
        self._path = report
        self._report: IO[bytes] | None = None
        self._producer = make_client(
            Producer,
            broker,
            enable_idempotence=not broker.is_embedded,
            message_max_bytes=MAX_MESSAGE_BYTES,
            linger_ms=20,
            # Java clients and Quix place keys by this one: the same device, the same partition.
            partitioner="murmur2_random",
        )

    def __enter__(self) -> Self:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._report = self._path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        unsent = self._producer.flush(_FLUSH_SECONDS)
        if self._report is not None:
            self._report.close()
        if unsent or self.deliveries.failed:
            lost = unsent + self.deliveries.failed
            raise BrokerError(
                f"{lost} messages were not acknowledged by the broker at {self._broker.bootstrap}",
                "look at the broker, then produce them again: repeats are recognised",
            )

    def produce(self, config: StreamConfig, message: Message) -> None:
        """Hand one message over; waits while the queue is full."""

        def acknowledged(error: Any, record: Any) -> None:
            if error is not None:
                self.deliveries.failed += 1
                return
            self.deliveries.acknowledged[(config.name, message.kind)] += 1
            if self._report is not None:
                line = {
                    "stream": config.name,
                    "kind": message.kind,
                    "device": message.device,
                    "at_us": message.at_us,
                    "partition": record.partition(),
                    "offset": record.offset(),
                }
                self._report.write(orjson.dumps(line) + b"\n")

        while True:
            try:
                self._producer.produce(
                    config.topic, message.value, message.key, on_delivery=acknowledged
                )
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as error:
                raise BrokerError(str(error), "look at the broker, then try again") from error
            break
        self._producer.poll(0)

    def wait(self, seconds: float) -> None:
        """Let time pass while acknowledgements come in."""
        self._producer.poll(seconds)


def produce_paced(
    producer: MessageProducer,
    messages: Iterable[Addressed],
    *,
    speed: float,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Produce messages at their due times.

    Args:
        producer: Where to.
        messages: What, in the order of their due times.
        speed: Event seconds per second; 0 produces as fast as the broker takes them.
        stopped: Asked before each message.
    """
    began, first = time.monotonic(), None
    for config, message in messages:
        first = message.due_us if first is None else first
        due = began + (message.due_us - first) / SECOND_US / speed if speed else 0.0
        while not stopped() and (left := due - time.monotonic()) > 0:
            producer.wait(min(left, _POLL_EVERY))
        if stopped():
            return
        producer.produce(config, message)
