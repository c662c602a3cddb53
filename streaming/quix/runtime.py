"""A Quix application that reads the streams' topics and makes their checkpoints.

Here belongs every call of Quix. What it uses beside Quix's documentation is in ``internals``.
"""

import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition
from quixstreams import Application
from quixstreams.context import message_context
from quixstreams.exceptions import QuixException as QuixException
from quixstreams.kafka import ConnectionConfig
from quixstreams.models.topics import TopicConfig
from quixstreams.processing import ProcessingContext
from quixstreams.sinks.base import BaseSink
from quixstreams.sinks.base import SinkBackpressureError as SinkBackpressureError

from streaming.brokers import Broker
from streaming.config import StreamConfig
from streaming.quix.topic_manager import topic_manager
from streaming.topics import MAX_MESSAGE_BYTES, topic_shapes
from streaming.window_state import Transaction

_log = logging.getLogger(__name__)
_ASK_SECONDS = 2.0


OnRecord = Callable[[bytes | None, bytes | None, int, int, int], None]
"""Value, key, broker timestamp (microseconds since 1970 UTC), partition and offset of a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What Quix calls while it runs.

    Attributes:
        land: First step of a checkpoint; what follows makes state and offsets durable. It raises
            ``SinkBackpressureError`` to have the checkpoint's records read again later.
        forget: Drops what no checkpoint holds; it will be read again, here or elsewhere.
        tick: Called between two records, four times a second without any.
    """

    land: Callable[[], None]
    forget: Callable[[], None]
    tick: Callable[[], None]


class QuixInput:
    """One input topic: its records, the partitions owned, and their state.

    Attributes:
        owned: A live view of the partitions that this process owns now. The value of one that was
            given away and came back is another object.
    """

    def __init__(self, app: Application, stream: StreamConfig) -> None:
        shape = topic_shapes(stream)[stream.topic]
        topic = app.topic(
            stream.topic,
            key_deserializer="bytes",
            value_deserializer="bytes",
            # As Quix would make it, had `ensure_topics` not made it before.
            config=TopicConfig(shape.partitions, 1, shape.config),
        )
        self._topic = stream.topic
        self._dataframe = app.dataframe(topic)
        self._dataframe.register_store()
        self._stream_id = self._dataframe.stream_id
        self.context: ProcessingContext = self._dataframe.processing_context
        store = self.context.state_manager.get_store(stream_id=self._stream_id)
        self.owned: Mapping[int, object] = store.partitions

    def hand_records_to(self, on_record: OnRecord) -> None:
        """Say what gets each record of the topic."""

        def hand_over(value: bytes | None, key: bytes | None, broker_ms: int, _: Any) -> None:
            place = message_context()
            on_record(value, key, broker_ms * 1000, place.partition, place.offset)

        self._dataframe.update(hand_over, metadata=True)

    def transaction(self, partition: int) -> Transaction:
        """The open checkpoint's transaction on the state of a partition."""
        return self.context.checkpoint.get_store_transaction(
            stream_id=self._stream_id, partition=partition
        )

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: dict[str, str | bytes] | None = None,
    ) -> None:
        """Produce a message; the checkpoint waits until the broker has acknowledged it."""
        self.context.producer.produce(topic=topic, key=key, value=value, headers=headers)

    def is_read_to_its_end(self, partition: int, next_offset: int) -> bool:
        """Whether the broker has no record of a partition that has not been read.

        Args:
            partition: The partition.
            next_offset: The next offset to read; -1 if this process has not read any.
        """
        place = TopicPartition(self._topic, partition)
        consumer = self.context.consumer
        bounds = consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS)
        if bounds is None:
            return False
        if next_offset >= 0:
            return bool(next_offset >= bounds[1])
        committed = consumer.committed([place], timeout=_ASK_SECONDS)[0].offset
        return bool(committed >= bounds[1])


class QuixRuntime:
    """A Quix application that reads the streams' topics.

    Args:
        broker: Where the topics are; they exist.
        streams: What to read.
        steps: What Quix calls.
        group: Consumer group.
        state_dir: Folder of this instance's state.
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
        self._app = _Application(
            broker_address=ConnectionConfig.from_librdkafka_dict(broker.client_config()),
            consumer_group=group,
            auto_offset_reset="earliest",
            commit_interval=commit_interval,
            consumer_poll_timeout=0.25,
            state_dir=state_dir,
            topic_manager=topic_manager(broker, group),
            consumer_extra_config=dict(consumer),
            producer_extra_config={"message.max.bytes": MAX_MESSAGE_BYTES, "linger.ms": 20},
            loglevel="WARNING",
        )
        self.inputs = {stream.name: QuixInput(self._app, stream) for stream in streams}
        self._topics = {stream.topic for stream in streams}
        self.context = self.inputs[streams[0].name].context
        self.context.sink_manager.register(_CheckpointSink(steps))
        self.context.dataframe_registry.register_periodic_task(steps.tick)
        self._steps = steps
        self._app.on_lost = self._on_lost

    def run(self, stop_when_idle: float) -> None:
        """Run until stopped, or until nothing has come for so many seconds; 0 runs on."""
        self._app.run(timeout=stop_when_idle, collect=False)

    def stop(self) -> None:
        """Ask for a graceful end: a last checkpoint, and out of the group."""
        self._app.stop()

    def commit(self) -> None:
        """Make a checkpoint now."""
        self.context.commit_checkpoint(force=True)

    @property
    def is_recovering(self) -> bool:
        """Whether state is being rebuilt from its changelog; no record is read meanwhile."""
        return bool(self.context.state_manager.recovery_required)

    def lag(self) -> dict[tuple[str, int], int]:
        """Records that wait, by topic and partition, as far as the broker has said so by itself."""
        consumer = self.context.consumer
        lag = {}
        for place in consumer.assignment():
            if place.topic in self._topics:
                _, end = consumer.get_watermark_offsets(place, cached=True)
                position = consumer.position([place])[0].offset
                if end >= 0 and position >= 0:
                    lag[(place.topic, place.partition)] = end - position
        return lag

    def _on_lost(self) -> None:
        _log.warning("the group gave our partitions away; they are read again from the last commit")
        self._steps.forget()
        self.context.init_checkpoint()  # type: ignore[no-untyped-call]


def release_state() -> None:
    """Let go of the state of a runtime that has failed: it is locked until it is collected."""
    gc.collect()


class _Application(Application):
    """Quix's application, with what it does not do when a session is lost.

    Attributes:
        on_lost: Called when partitions were lost without a chance to commit.
    """

    on_lost: Callable[[], None]

    def _on_lost(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        super()._on_lost(_, topic_partitions)
        # Their records are another instance's now: neither land nor commit them.
        self.on_lost()


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
