"""Sending readings at a pace, and the ledger of what was sent.

Here belongs delivery: keys, acknowledgement, clean end. What is sent is in ``readings``.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import orjson
from confluent_kafka import KafkaException, Producer

from streaming.brokers import Broker, BrokerError
from streaming.clients import make_client
from streaming.config import SECOND_US, StreamConfig
from streaming.readings import Reading
from streaming.topics import MAX_MESSAGE_BYTES

_FLUSH_SECONDS = 30.0
_POLL_EVERY = 0.05


@dataclass(slots=True)
class Sent:
    """What a sender has done: acknowledged messages by stream and kind."""

    acknowledged: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: int = 0

    @property
    def total(self) -> int:
        """Acknowledged messages."""
        return self.acknowledged.total()


class Sender:
    """Sends readings; leaving the block waits until the broker has acknowledged each.

    Args:
        broker: Where to.
        ledger: File that gets a JSON line for each acknowledged message: stream, kind, device,
            event time, partition and offset. None keeps no ledger.
    """

    def __init__(self, broker: Broker, ledger: Path | None = None) -> None:
        self.sent = Sent()
        self._broker = broker
        self._path = ledger
        self._ledger: IO[bytes] | None = None
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
            self._ledger = self._path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        unsent = self._producer.flush(_FLUSH_SECONDS)
        if self._ledger is not None:
            self._ledger.close()
        if unsent or self.sent.failed:
            raise BrokerError(
                f"{unsent + self.sent.failed} messages were not acknowledged by the broker at "
                f"{self._broker.bootstrap}",
                "look at the broker, then send them again: repeats are recognised",
            )

    def send(self, config: StreamConfig, reading: Reading) -> None:
        """Hand one message over; waits while the queue is full."""

        def acknowledged(error: Any, message: Any) -> None:
            if error is not None:
                self.sent.failed += 1
                return
            self.sent.acknowledged[(config.name, reading.kind)] += 1
            if self._ledger is not None:
                line = {
                    "stream": config.name,
                    "kind": reading.kind,
                    "device": reading.device,
                    "at_us": reading.at_us,
                    "partition": message.partition(),
                    "offset": message.offset(),
                }
                self._ledger.write(orjson.dumps(line) + b"\n")

        while True:
            try:
                self._producer.produce(
                    config.topic, reading.value, reading.key, on_delivery=acknowledged
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


Tagged = tuple[StreamConfig, Reading]


def interleave(streams: Iterable[tuple[StreamConfig, Iterator[Reading]]]) -> Iterator[Tagged]:
    """Several streams' readings in the order of their due times."""
    heads = [(config, rest, next(rest)) for config, rest in streams]
    while heads:
        place = min(range(len(heads)), key=lambda n: heads[n][2].due_us)
        config, rest, reading = heads[place]
        yield config, reading
        following = next(rest, None)
        if following is None:
            del heads[place]
        else:
            heads[place] = (config, rest, following)


def send_paced(
    sender: Sender,
    messages: Iterable[Tagged],
    *,
    speed: float,
    stopped: Callable[[], bool] = lambda: False,
    on_sent: Callable[[], None] = lambda: None,
) -> None:
    """Send messages at their due times.

    Args:
        sender: Where to.
        messages: What, in the order of their due times.
        speed: Event seconds per second; 0 sends as fast as the broker takes them.
        stopped: Asked before each message.
        on_sent: Told after each message.
    """
    began, first = time.monotonic(), None
    for config, reading in messages:
        first = reading.due_us if first is None else first
        due = began + (reading.due_us - first) / SECOND_US / speed if speed else 0.0
        while not stopped() and (left := due - time.monotonic()) > 0:
            sender.wait(min(left, _POLL_EVERY))
        if stopped():
            return
        sender.send(config, reading)
        on_sent()
