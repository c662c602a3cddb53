"""The application around the streams: their processors, the pace of checkpoints, the watchdog.

Here belongs how the parts hang together and how they start, wait, fail and stop. What happens to
a record is in ``processor``; what Quix does is in ``quix``.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.errors import LakeError
from lakehouse.raw import RawTable, remove_orphans
from lakehouse.settings import Settings
from streaming.brokers import Broker
from streaming.checkpoint_pace import CheckpointLimits, CheckpointPace
from streaming.config import StreamConfig
from streaming.landing import SOURCE, Landing
from streaming.processor import OnEmit, StreamProcessor
from streaming.quix.runtime import QuixRuntime, SinkBackpressureError, Steps
from streaming.topics import ensure_topics, log_ids
from streaming.watchdog import Watchdog

_log = logging.getLogger(__name__)

GROUP = "lakehouse"
_TICK_SECONDS = 0.5
_LAG_SECONDS = 5.0
_DISK_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a stream application runs.

    Attributes:
        group: Consumer group; instances of one group share the partitions.
        instance: Name of this instance's state folder.
        checkpoints: When they are due.
        stop_when_idle: End after so many seconds without a record; 0 runs until stopped.
        stall_seconds: The watchdog's patience with lag and no checkpoint.
        consumer: Further librdkafka properties of the consumer.
    """

    group: str = GROUP
    instance: str = "0"
    checkpoints: CheckpointLimits = field(default_factory=CheckpointLimits)
    stop_when_idle: float = 0.0
    stall_seconds: float = 900.0
    consumer: Mapping[str, Any] = field(default_factory=dict)


class StreamApp:
    """The given streams in one process.

    Args:
        settings: The project.
        broker: Where the topics are.
        streams: What to run.
        options: How.
        on_emit: Gets each window that is emitted.

    Attributes:
        processors: One for each stream.
        lag: Records that wait, by topic and partition, as last measured.
        waiting_for_disk: Why nothing can be landed at the moment; else None.
        on_tick: Called twice a second while it runs.

    Raises:
        BrokerError: The broker does not answer.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        streams: Sequence[StreamConfig],
        options: RunOptions,
        on_emit: OnEmit = lambda *_: None,
    ) -> None:
        ensure_topics(broker, streams)
        self._options = options
        self._raw_dir = settings.raw_dir
        self._quix = QuixRuntime(
            broker,
            streams,
            Steps(land=self._land, forget=self._forget, tick=self._tick),
            group=options.group,
            state_dir=_state_dir(settings, broker, options),
            # Ours decides; Quix's own interval is only a net below it.
            commit_interval=options.checkpoints.slowest + 30,
            consumer=options.consumer,
        )
        identities = log_ids(broker, [stream.topic for stream in streams])
        self.processors = [
            self._processor(stream, identities[stream.topic], on_emit) for stream in streams
        ]
        self._pace = CheckpointPace(options.checkpoints, time.monotonic())
        self._next_tick = self._next_lag = 0.0
        self.lag: dict[tuple[str, int], int] = {}
        self.waiting_for_disk: str | None = None
        self.on_tick: Callable[[], None] = lambda: None
        self._watchdog = Watchdog(options.stall_seconds)

    def _processor(self, stream: StreamConfig, log_id: str, on_emit: OnEmit) -> StreamProcessor:
        for folder in (stream.events_table, stream.windows_table):
            remove_orphans(RawTable(self._raw_dir, SOURCE, folder))
        landing = Landing(self._raw_dir, stream, log_id)
        return StreamProcessor(stream, self._quix.inputs[stream.name], landing, log_id, on_emit)

    def run(self) -> None:
        """Run until stopped, or until idle if so asked.

        Raises:
            LakeError: Something failed that a new start will not mend by itself.
        """
        with self._watchdog:
            self._quix.run(self._options.stop_when_idle)

    def stop(self) -> None:
        """Ask for a graceful end: land, commit, leave the group."""
        self._quix.stop()

    @property
    def outcomes(self) -> dict[str, dict[str, int]]:
        """Records decided since the start, by stream and outcome."""
        return {processor.config.name: processor.outcomes for processor in self.processors}

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick or self._quix.is_recovering:
            return
        self._next_tick = now + _TICK_SECONDS
        now_us = time.time_ns() // 1000
        for processor in self.processors:
            processor.look_for_silence(now, now_us)
        rows = sum(processor.rows for processor in self.processors)
        held = sum(processor.payload_bytes for processor in self.processors)
        pending = any(processor.pending for processor in self.processors)
        if pending and self._pace.due(now, rows, held):
            self._quix.commit()
        if now >= self._next_lag:
            self._next_lag = now + _LAG_SECONDS
            self.lag = self._quix.lag()
            if not pending and not any(self.lag.values()):
                self._watchdog.progress(now)
        self.on_tick()

    def _land(self) -> None:
        try:
            for processor in self.processors:
                processor.land()
        except LakeError as error:
            # Nothing of this checkpoint counts: it is read again when there is room.
            self._forget()
            if self.waiting_for_disk != str(error):
                _log.error("waiting, nothing is lost: %s", error)
            self.waiting_for_disk = str(error)
            self._watchdog.progress(time.monotonic())
            raise SinkBackpressureError(retry_after=_DISK_RETRY_SECONDS) from error
        now = time.monotonic()
        self.waiting_for_disk = None
        self._pace.done(now)
        self._watchdog.progress(now)

    def _forget(self) -> None:
        for processor in self.processors:
            processor.forget()


def _state_dir(settings: Settings, broker: Broker, options: RunOptions) -> Path:
    # A new in-process broker knows nothing of older state, nor must older state know of it.
    place = broker.embedded_id or "kafka"
    return settings.state_dir / "stream" / place / options.instance
