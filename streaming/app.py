"""The application around the streams: Quix, the sink of its checkpoints, the pace, the watchdog.

Here belongs how the parts hang together and how they start, wait, fail and stop. What happens to
a record is in ``topology``.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from confluent_kafka import TopicPartition
from quixstreams import Application
from quixstreams.kafka import ConnectionConfig
from quixstreams.sinks.base import BaseSink, SinkBackpressureError

from lakehouse.errors import LakeError
from lakehouse.raw import RawTable, remove_orphans
from lakehouse.settings import Settings
from streaming.brokers import Broker
from streaming.config import StreamConfig
from streaming.landing import SOURCE, Landing
from streaming.pace import Pace, PaceLimits
from streaming.quix import input_config, topic_manager
from streaming.topics import MAX_MESSAGE_BYTES, ensure_topics, log_ids
from streaming.topology import FinalMinute, StreamTopology

_log = logging.getLogger(__name__)

GROUP = "lakehouse"
STALLED = 70
"""Exit code of a process that the watchdog ended."""
_LOOK_EVERY = 0.5
_LAG_EVERY = 5.0
_DISK_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a stream application runs.

    Attributes:
        group: Consumer group; instances of one group share the partitions.
        instance: Name of this instance's state folder.
        pace: When checkpoints are due.
        stop_when_idle: End after so many seconds without a record; 0 runs until stopped.
        stall_seconds: The watchdog's patience with lag and no checkpoint.
        consumer: Further librdkafka properties of the consumer.
    """

    group: str = GROUP
    instance: str = "0"
    pace: PaceLimits = field(default_factory=PaceLimits)
    stop_when_idle: float = 0.0
    stall_seconds: float = 900.0
    consumer: Mapping[str, Any] = field(default_factory=dict)


class _Application(Application):
    """Quix's application, with what it does not do when a session is lost.

    Attributes:
        on_lost: Called when partitions were lost without a chance to commit.
    """

    on_lost: Callable[[], None]

    def _on_lost(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        super()._on_lost(consumer, topic_partitions)
        # Their records are another instance's now: neither land nor commit them.
        self.on_lost()


class _CheckpointSink(BaseSink):
    """Lands at a checkpoint what the topologies have gathered."""

    def __init__(self, flush: Callable[[], None], clear: Callable[[], None]) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._flush = flush
        self.on_paused = clear  # type: ignore[method-assign]

    def add(
        self,
        value: Any,
        key: Any,
        timestamp: int,
        headers: Any,
        topic: str,
        partition: int,
        offset: int,
    ) -> None:
        """Unused: records reach the topologies directly, which costs less."""

    def flush(self) -> None:
        """Land everything."""
        self._flush()


class StreamApp:
    """Both streams, or one, in one process.

    Args:
        settings: The project.
        broker: Where the topics are.
        streams: What to run.
        options: How.
        on_final: Told of each device's minute when it becomes final.

    Raises:
        BrokerError: The broker does not answer.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        streams: Sequence[StreamConfig],
        options: RunOptions,
        on_final: FinalMinute = lambda *_: None,
    ) -> None:
        ensure_topics(broker, streams)
        self._options = options
        self._raw_dir = settings.raw_dir
        self._app = self._quix(broker, _state_dir(settings, broker, options))
        identities = log_ids(broker, [stream.topic for stream in streams])
        self.topologies = [
            self._topology(stream, identities[stream.topic], on_final) for stream in streams
        ]
        self._context = self.topologies[0].context
        self._context.sink_manager.register(_CheckpointSink(self._flush, self._clear))
        self._context.dataframe_registry.register_periodic_task(self._tick)
        self._pace = Pace(options.pace, time.monotonic())
        self._next_look = self._next_lag = 0.0
        self.lag: dict[tuple[str, int], int] = {}
        self.waiting_for_disk: str | None = None
        self.on_tick: Callable[[], None] = lambda: None
        self._watchdog = _Watchdog(options.stall_seconds)

    def _quix(self, broker: Broker, state_dir: Path) -> _Application:
        app = _Application(
            broker_address=ConnectionConfig.from_librdkafka_dict(broker.client_config()),
            consumer_group=self._options.group,
            auto_offset_reset="earliest",
            # Ours decides; Quix's own interval is only a net below it.
            commit_interval=self._options.pace.slowest + 30,
            consumer_poll_timeout=0.25,
            state_dir=state_dir,
            topic_manager=topic_manager(broker, self._options.group),
            consumer_extra_config=dict(self._options.consumer),
            producer_extra_config={"message.max.bytes": MAX_MESSAGE_BYTES, "linger.ms": 20},
            loglevel="WARNING",
        )
        app.on_lost = self._on_lost
        return app

    def _topology(self, stream: StreamConfig, log_id: str, on_final: FinalMinute) -> StreamTopology:
        for folder in (stream.events_table, stream.windows_table):
            remove_orphans(RawTable(self._raw_dir, SOURCE, folder))
        topic = self._app.topic(
            stream.topic,
            key_deserializer="bytes",
            value_deserializer="bytes",
            config=input_config(stream),
        )
        dataframe = self._app.dataframe(topic)
        landing = Landing(self._raw_dir, stream, log_id)
        return StreamTopology(stream, dataframe, landing, log_id, on_final)

    def run(self) -> None:
        """Run until stopped, or until idle if so asked.

        Raises:
            LakeError: Something failed that a new start will not mend by itself.
        """
        with self._watchdog:
            self._app.run(timeout=self._options.stop_when_idle, collect=False)

    def stop(self) -> None:
        """Ask for a graceful end: land, commit, leave the group."""
        self._app.stop()

    @property
    def outcomes(self) -> dict[str, dict[str, int]]:
        """Records decided since the start, by stream and outcome."""
        return {topology.config.name: topology.outcomes for topology in self.topologies}

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_look or self._context.state_manager.recovery_required:
            return
        self._next_look = now + _LOOK_EVERY
        now_us = time.time_ns() // 1000
        for topology in self.topologies:
            topology.look_at_silence(now, now_us)
        rows = sum(topology.rows for topology in self.topologies)
        held = sum(topology.payload_bytes for topology in self.topologies)
        pending = any(topology.pending for topology in self.topologies)
        if pending and self._pace.due(now, rows, held):
            self._context.commit_checkpoint(force=True)
        if now >= self._next_lag:
            self._next_lag = now + _LAG_EVERY
            self._measure_lag(now, pending)
        self.on_tick()

    def _measure_lag(self, now: float, pending: bool) -> None:
        consumer = self._context.consumer
        topics = {topology.config.topic for topology in self.topologies}
        lag = {}
        for place in consumer.assignment():
            if place.topic in topics:
                _, high = consumer.get_watermark_offsets(place, cached=True)
                position = consumer.position([place])[0].offset
                if high >= 0 and position >= 0:
                    lag[(place.topic, place.partition)] = high - position
        self.lag = lag
        if not pending and not any(lag.values()):
            self._watchdog.progress(now)

    def _flush(self) -> None:
        try:
            for topology in self.topologies:
                topology.flush()
        except LakeError as error:
            # Nothing of this checkpoint counts: it is read again when there is room.
            self._clear()
            if self.waiting_for_disk != str(error):
                _log.error("waiting, nothing is lost: %s", error)
            self.waiting_for_disk = str(error)
            self._watchdog.progress(time.monotonic())
            raise SinkBackpressureError(retry_after=_DISK_RETRY_SECONDS) from error
        now = time.monotonic()
        self.waiting_for_disk = None
        self._pace.done(now)
        self._watchdog.progress(now)

    def _clear(self) -> None:
        for topology in self.topologies:
            topology.clear()

    def _on_lost(self) -> None:
        _log.warning("the group gave our partitions away; they are read again from the last commit")
        self._clear()
        self._context.init_checkpoint()  # type: ignore[no-untyped-call]


def _state_dir(settings: Settings, broker: Broker, options: RunOptions) -> Path:
    # A new in-process broker knows nothing of older state, nor must older state know of it.
    place = broker.embedded_id or "kafka"
    return settings.state_dir / "stream" / place / options.instance


class _Watchdog:
    """Ends the process, loudly, when records wait and nothing is committed for too long."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._end = threading.Event()
        self._progress = time.monotonic()

    def progress(self, now: float) -> None:
        """Something was committed, or there is nothing to commit."""
        self._progress = now

    def __enter__(self) -> Self:
        self._progress = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def _watch(self) -> None:
        while not self._end.wait(min(5.0, self._patience / 4)):
            stalled = time.monotonic() - self._progress
            if stalled >= self._patience:
                _log.critical(
                    "no checkpoint for %.0f s while records wait; ending, so that a restart goes "
                    "on from the last one. Next: `lake stream status`, then start it again.",
                    stalled,
                )
                os._exit(STALLED)
