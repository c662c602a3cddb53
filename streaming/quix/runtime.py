"""A Quix application that reads the streams' topics and makes their checkpoints.

Here belongs every call of Quix. What it uses beside Quix's documentation is in ``internals``.
"""

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from quixstreams import Application
from quixstreams.context import set_message_context
from quixstreams.exceptions import PartitionAssignmentError as PartitionAssignmentError
from quixstreams.exceptions import QuixException as QuixException
from quixstreams.internal_producer import InternalProducer
from quixstreams.kafka import ConnectionConfig
from quixstreams.kafka.exceptions import KafkaConsumerException
from quixstreams.models import MessageContext
from quixstreams.models.topics import TopicConfig
from quixstreams.processing import ProcessingContext
from quixstreams.sinks.base import BaseSink
from quixstreams.sinks.base import SinkBackpressureError as SinkBackpressureError

from streaming.brokers import Broker, BrokerError
from streaming.config import StreamConfig
from streaming.outputs import DeadLetter
from streaming.quix.topic_manager import topic_manager
from streaming.topics import MAX_MESSAGE_BYTES, topic_shapes

_log = logging.getLogger(__name__)

_ASK_SECONDS = 10.0
_POLL_SECONDS = 0.25
_MOST_RECORDS = 1000
_BATCH_BYTES = 8 << 20
"""Records are taken by the batch, and the next one is as large as the last one's records allow."""
_QUEUE_KB = 4 << 10
"""What librdkafka reads ahead: half a second of the largest rate measured, and little memory."""
_FLUSH_SECONDS = 120.0
_STOPPING_SECONDS = 7.0
_PARTITION_EOF = KafkaError._PARTITION_EOF
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)

OnRecords = Callable[[int, Sequence[Any]], None]
"""Partition and its next records, as ``confluent_kafka.Message``."""
Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What Quix calls while it runs.

    Attributes:
        assign: Gets a partition, and what asks for the first offset that the broker has and the one
            after its last record; says from where it is to be read.
        revoke: Gets partitions that belong to others from now on.
        reached_end: Gets a partition and the offset up to which it has been read, its end.
        land: Lands what is held, offsets and all. It raises ``SinkBackpressureError`` to have the
            checkpoint's records read again later.
        forget: Drops what has not landed; it will be read again, here or elsewhere.
        tick: Called between two batches of records, four times a second without any.
    """

    assign: Callable[[Place, Callable[[], tuple[int, int]]], int]
    revoke: Callable[[Sequence[Place]], None]
    reached_end: Callable[[Place, int], None]
    land: Callable[[], None]
    forget: Callable[[], None]
    tick: Callable[[], None]


class QuixInput:
    """One input topic: its records, and what is produced because of them."""

    def __init__(self, app: "_Application", stream: StreamConfig) -> None:
        shape = topic_shapes(stream)[stream.topic]
        topic = app.topic(
            stream.topic,
            key_deserializer="bytes",
            value_deserializer="bytes",
            # As Quix would make it, had `ensure_topics` not made it before.
            config=TopicConfig(shape.partitions, 1, shape.config),
        )
        self._dataframe = app.dataframe(topic)
        self._app = app
        self.context: ProcessingContext = self._dataframe.processing_context

    def hand_records_to(self, on_records: OnRecords) -> None:
        """Say what gets the records of the topic.

        The value that runs through the dataframe is a batch of a partition's records.
        """
        self._dataframe.update(lambda batch: on_records(*batch))

    def produce(self, topic: str, *, key: bytes | None, value: bytes | None) -> None:
        """Produce a message; the checkpoint waits until the broker has acknowledged it."""
        self.context.producer.produce(topic=topic, key=key, value=value)

    def produce_dead_letter(self, topic: str, letter: DeadLetter) -> None:
        """Produce a dead letter; less of its value where the broker takes less."""
        self._app.dead_letter_topics.add(topic)

        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None and error.code() in _TOO_LARGE and letter.value:
                self._app.shortened.append((topic, letter.shortened(len(letter.value) // 4)))

        try:
            self.context.producer.produce(
                topic=topic,
                key=letter.key,
                value=letter.value,
                headers=letter.headers,
                on_delivery=delivered,
            )
        except KafkaException as error:
            if error.args[0].code() not in _TOO_LARGE or not letter.value:
                raise
            self.produce_dead_letter(topic, letter.shortened(len(letter.value) // 4))

    def flush(self) -> None:
        """Wait until all that was produced has been acknowledged.

        Raises:
            BrokerError: The broker does not acknowledge it.
        """
        while True:
            self.context.producer.flush()
            if not self._app.shortened:
                return
            again, self._app.shortened = self._app.shortened, []
            for topic, letter in again:
                self.produce_dead_letter(topic, letter)


class QuixRuntime:
    """A Quix application that reads the streams' topics.

    Args:
        broker: Where the topics are; they exist.
        streams: What to read.
        steps: What Quix calls.
        group: Consumer group.
        state_dir: A folder; Quix asks for one, though it has nothing to put there.
        commit_interval: Seconds after which Quix makes a checkpoint if nobody asked for one.
        consumer: Further librdkafka properties of the consumer.
    """

    def __init__(
        self,
        broker: Broker,
        streams: Sequence[StreamConfig],
        steps: Steps,
        *,
        group: str,
        state_dir: Path,
        commit_interval: float,
        consumer: Mapping[str, Any],
    ) -> None:
        # Quix knows some properties by name and refuses others: all but the address go past it.
        own = {name: _number(value) for name, value in broker.properties.items()}
        self._app = _Application(
            broker_address=ConnectionConfig(bootstrap_servers=broker.bootstrap),
            consumer_group=group,
            # Where the broker no longer has what is asked for, its oldest record is next.
            auto_offset_reset="earliest",
            commit_interval=commit_interval,
            consumer_poll_timeout=_POLL_SECONDS,
            state_dir=state_dir,
            use_changelog_topics=False,
            topic_manager=topic_manager(broker, group),
            consumer_extra_config={
                "queued.max.messages.kbytes": _QUEUE_KB,
                "topic.metadata.refresh.interval.ms": 30_000,
                **own,
                **consumer,
                "enable.partition.eof": True,
            },
            producer_extra_config={
                "linger.ms": 20,
                **own,
                "message.max.bytes": MAX_MESSAGE_BYTES,
            },
            loglevel="WARNING",
        )
        self._app.steps = steps
        self.inputs = {stream.name: QuixInput(self._app, stream) for stream in streams}
        self.context = self.inputs[streams[0].name].context
        self.context.sink_manager.register(_CheckpointSink(steps))
        self.context.dataframe_registry.register_periodic_task(steps.tick)
        self._steps = steps
        self._committed: dict[Place, int] = {}

    def run(self, stop_when_idle: float) -> None:
        """Run until stopped, or until nothing has come for so many seconds; 0 runs on."""
        # The windows of thousands of devices are no garbage and hold no cycles: looking through
        # them again and again takes a quarter of the time.
        before = gc.get_threshold()
        gc.set_threshold(50_000, 20, 100)
        try:
            self._app.run(timeout=stop_when_idle, collect=False)
        finally:
            gc.set_threshold(*before)

    def stop(self) -> None:
        """Ask for a graceful end: a last checkpoint, and out of the group."""
        self._app.asked_to_stop = time.monotonic()
        self._app.stop()

    def commit(self) -> None:
        """Make a checkpoint now."""
        self._app.checkpoint()

    def tell_positions(self, read_to: Mapping[Place, int]) -> None:
        """Write to Kafka how far we are, for its tools; what we read next does not depend on it.

        Args:
            read_to: Offsets before which everything has been read, and landed if it is a record.
        """
        news = {place: offset for place, offset in read_to.items() if offset > 0}
        news = {place: at for place, at in news.items() if self._committed.get(place) != at}
        if news:
            places = [TopicPartition(*place, offset) for place, offset in news.items()]
            self.context.consumer.commit(offsets=places, asynchronous=True)
            self._committed |= news


def _number(value: str) -> str | int:
    return int(value) if value.isdigit() else value


class _Producer(InternalProducer):
    """Quix's producer, but interruptible, and forgiving where a dead letter is too large."""

    app: "_Application"

    def _on_delivery(self, err: KafkaError | None, msg: Any) -> None:
        dead = self.app.dead_letter_topics
        if err is not None and err.code() in _TOO_LARGE and msg.topic() in dead:
            return
        super()._on_delivery(err, msg)

    def flush(self, timeout: float | None = None) -> int:
        """Wait for acknowledgements in short turns, so that a signal is heard meanwhile.

        Raises:
            BrokerError: They do not come.
        """
        until = time.monotonic() + (_FLUSH_SECONDS if timeout is None else timeout)
        while left := super().flush(timeout=0.5):
            asked = self.app.asked_to_stop
            now = time.monotonic()
            if now > until or (asked is not None and now > asked + _STOPPING_SECONDS):
                raise BrokerError(
                    f"the broker has not acknowledged {left} messages",
                    "look at the broker; what they belong to is read again",
                )
        return 0


class _Application(Application):
    """Quix's application, reading by the batch, and from where the raw layer says.

    Attributes:
        steps: What it calls.
        dead_letter_topics: Topics on which too large a message is no failure.
        shortened: Dead letters that the broker did not take as they were.
        asked_to_stop: Monotonic seconds when a stop was asked for.
    """

    steps: Steps

    def __init__(self, **options: Any) -> None:
        self.dead_letter_topics: set[str] = set()
        self.shortened: list[tuple[str, DeadLetter]] = []
        self.asked_to_stop: float | None = None
        self._take = 100
        super().__init__(**options)

    def checkpoint(self) -> None:
        """Make a checkpoint, also of what no record has led to."""
        context = self._processing_context
        if context.checkpoint.empty():
            # It is tried again if there is no room: nothing has been read that could be dropped.
            with suppress(SinkBackpressureError):
                self.steps.land()
        else:
            context.commit_checkpoint(force=True)

    def _get_internal_producer(self, *args: Any, **kwargs: Any) -> InternalProducer:
        config = self._config
        producer = _Producer(
            broker_address=config.broker_address,
            extra_config=config.producer_extra_config,
            flush_timeout=_FLUSH_SECONDS,
        )
        producer.app = self
        return producer

    def _process_message(self, dataframe_composed: Mapping[str, Any]) -> None:
        self._producer.poll(0)
        messages = self._consumer.consume(self._take, _POLL_SECONDS)
        batches: dict[Place, list[Any]] = {}
        ends: list[tuple[Place, int]] = []
        message: Any
        for message in messages:
            error = message.error()
            if error is None:
                place = (message.topic(), message.partition())
                batch = batches.get(place)
                if batch is None:
                    batch = batches[place] = []
                batch.append(message)
            elif error.code() == _PARTITION_EOF:
                ends.append(((message.topic(), message.partition()), message.offset()))
            elif error.code() not in _GONE:
                # That a topic is gone is noticed, and said, by whoever watches the topics.
                raise KafkaConsumerException(error)
        self._run_tracker.set_message_consumed(bool(batches))
        size = 0
        for (topic, partition), batch in batches.items():
            first, last = batch[0].offset(), batch[-1].offset()
            size += sum(map(len, batch))
            context = copy_context()
            context.run(set_message_context, MessageContext(topic, partition, last, 0))
            run = dataframe_composed[topic]
            context.run(run, (partition, batch), None, batch[-1].timestamp()[1], [])
            for offset in sorted({first, last}):
                self._processing_context.store_offset(topic, partition, offset)
        for place, offset in ends:
            self.steps.reached_end(place, offset)
        if batches:
            taken = len(messages)
            self._take = max(1, min(_MOST_RECORDS, taken * 2, _BATCH_BYTES * taken // (size + 1)))
            self._producer._broker_available()  # type: ignore[no-untyped-call]
            self._consumer._broker_available()  # type: ignore[no-untyped-call]

    def _on_assign(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        for place in topic_partitions:
            name = (place.topic, place.partition)
            place.offset = self.steps.assign(name, partial(self._bounds, place))
        super()._on_assign(_, topic_partitions)

    def _bounds(self, place: TopicPartition) -> tuple[int, int]:
        found = self._consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS)
        if found is None:
            raise BrokerError("the broker does not say where its topics begin", "look at it")
        return found

    def _on_revoke(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        try:
            if not self._failed and self._processing_context.checkpoint.empty():
                self.steps.land()
            super()._on_revoke(_, topic_partitions)
        except SinkBackpressureError:
            # No room: what is held is read by the next owner.
            self.steps.forget()
        finally:
            self.steps.revoke([(place.topic, place.partition) for place in topic_partitions])

    def _on_lost(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        super()._on_lost(_, topic_partitions)
        # Their records are another instance's now: neither land nor commit them.
        _log.warning("the group gave our partitions away; they are read again from what has landed")
        self.steps.forget()
        self.steps.revoke([(place.topic, place.partition) for place in topic_partitions])
        self._processing_context.init_checkpoint()  # type: ignore[no-untyped-call]

    def _setup_signal_handlers(self) -> None:
        """Signals are heard by whoever runs this: also before it runs and after it has failed."""


class _CheckpointSink(BaseSink):
    """Makes landing the first step of Quix's checkpoint."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._steps = steps

    def add(self, *_: Any, **__: Any) -> None:
        """Unused: records reach the processors directly, which costs less."""

    def flush(self) -> None:
        self._steps.land()

    def on_paused(self) -> None:
        self._steps.forget()
