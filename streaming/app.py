"""The application around the streams: their processors, the pace of checkpoints, the watchdog.

Here belongs how the parts hang together and how they start, wait, fail and stop. What happens to
a record is in ``processor``; what Quix does is in ``quix``.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from lakehouse.errors import LakeError
from lakehouse.raw import remove_orphans
from lakehouse.settings import Settings
from streaming.brokers import Broker, BrokerError
from streaming.checkpoint_pace import CheckpointLimits, CheckpointPace
from streaming.config import StreamConfig
from streaming.landing import Landing
from streaming.processor import Bounds, OnEmit, StreamProcessor, TopicChangedError
from streaming.quix.runtime import QuixRuntime, SinkBackpressureError, Steps
from streaming.stopping import StopRequest, stopped_by_signals
from streaming.topic_watch import Place, TopicWatch
from streaming.topics import ensure_topics
from streaming.watchdog import Watchdog

_log = logging.getLogger(__name__)

GROUP = "lakehouse"
_TICK_SECONDS = 0.5
_DISK_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a stream application runs.

    Attributes:
        group: Consumer group; instances of one group share the partitions.
        checkpoints: When they are due.
        stop_when_idle: End after so many seconds without a record; 0 runs until stopped.
        stall_seconds: The watchdog's patience with records that wait.
        consumer: Further librdkafka properties of the consumer.
    """

    group: str = GROUP
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
        stop: Says when to end; signals say it to a run that is given none.

    Attributes:
        processors: One for each stream.
        lag: Records that wait, by topic and partition, as last measured.
        waiting: What it waits for at the moment; else None.
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
        stop: StopRequest | None = None,
    ) -> None:
        ensure_topics(broker, streams)
        self._options = options
        self._stop = stop
        self._quix = QuixRuntime(
            broker,
            streams,
            Steps(
                assign=self._assign,
                revoke=self._revoke,
                reached_end=self._reached_end,
                land=self._land,
                forget=self._forget,
                tick=self._tick,
            ),
            group=options.group,
            state_dir=settings.state_dir / "stream" / (broker.embedded_id or "kafka"),
            # Ours decides; Quix's own interval is only a net below it.
            commit_interval=options.checkpoints.slowest + 30,
            consumer=options.consumer,
        )
        self._watch = TopicWatch(broker, [stream.topic for stream in streams])
        self.processors = [self._processor(settings, stream, on_emit) for stream in streams]
        self._by_topic = {each.config.topic: each for each in self.processors}
        self._pace = CheckpointPace(options.checkpoints, time.monotonic())
        self._next_tick = 0.0
        self._asked = self._ends_asked = 0.0
        self.lag: dict[Place, int] = {}
        self.waiting: str | None = None
        self.on_tick: Callable[[], None] = lambda: None
        self._watchdog = Watchdog(options.stall_seconds)

    def _processor(
        self, settings: Settings, stream: StreamConfig, on_emit: OnEmit
    ) -> StreamProcessor:
        landing = Landing(settings.raw_dir, stream)
        for table in (landing.events, landing.windows):
            remove_orphans(table)
        return StreamProcessor(stream, self._quix.inputs[stream.name], landing, on_emit)

    def run(self) -> None:
        """Run until stopped, or until idle if so asked.

        Raises:
            TopicChangedError: A topic was made again; a new start reads the new one.
            LakeError: Something failed that a new start will not mend by itself.
        """
        with ExitStack() as stack:
            stop = self._stop or stack.enter_context(stopped_by_signals())
            self._watch.known = self._known_topics()
            with stop.then(self.stop), self._watchdog:
                if not stop.is_asked:
                    self._quix.run(self._options.stop_when_idle)

    def stop(self) -> None:
        """Ask for a graceful end: land, commit, leave the group."""
        self._quix.stop()

    @property
    def outcomes(self) -> dict[str, dict[str, int]]:
        """Records decided since the start, by stream and outcome."""
        return {processor.config.name: processor.outcomes for processor in self.processors}

    @property
    def records(self) -> int:
        """Records decided since the start."""
        return sum(sum(each.outcomes.values()) for each in self.processors)

    def _known_topics(self) -> dict[str, str]:
        known = {name: found for name, found in self._watch.identities().items() if found}
        for processor in self.processors:
            if processor.config.topic not in known:
                raise BrokerError(
                    f"the broker has no topic {processor.config.topic}",
                    "start this again: it makes the topics that are missing",
                )
        return known

    def _assign(self, place: Place, bounds: Bounds) -> int:
        topic, number = place
        return self._by_topic[topic].assign(number, self._watch.known[topic], bounds)

    def _revoke(self, places: Sequence[Place]) -> None:
        for topic, processor in self._by_topic.items():
            processor.revoke([number for name, number in places if name == topic])

    def _reached_end(self, place: Place, offset: int) -> None:
        topic, number = place
        self._by_topic[topic].reached_end(number, offset)

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + _TICK_SECONDS
        self._look_at_topics(now)
        for processor in self.processors:
            processor.look_for_silence(self._watch.ends)
        rows = sum(processor.rows for processor in self.processors)
        held = sum(processor.held_bytes for processor in self.processors)
        pending = any(processor.pending for processor in self.processors)
        if pending and self._pace.due(now, rows, held):
            self._quix.commit()
        elif not pending:
            self._quix.tell_positions(self._read_to())
        waits = sum(self.lag.values())
        self._watchdog.look(now, read=self.records, waits=waits, holds=pending)
        self.on_tick()

    def _read_to(self) -> dict[Place, int]:
        return {
            (topic, number): offset
            for topic, processor in self._by_topic.items()
            for number, offset in processor.read_to.items()
        }

    def _look_at_topics(self, now: float) -> None:
        read_to = self._read_to()
        confirmed = self._watch.confirmed
        self._watch.look(now, read_to)
        if self._watch.confirmed != confirmed:
            for processor in self.processors:
                processor.confirm()
        if self._watch.ends_asked != self._ends_asked:
            self._ends_asked = self._watch.ends_asked
            for processor in self.processors:
                processor.look_for_gaps(self._watch.begins, self._ends_asked)
        if self._watch.asked != self._asked:
            self._asked = self._watch.asked
            for processor in self.processors:
                processor.mark()
        self.lag = {
            (topic, number): waits
            for topic, processor in self._by_topic.items()
            for number, waits in processor.lag(self._watch.ends).items()
        }
        if self._watch.changed:
            self._topics_changed(self._watch.changed)

    def _topics_changed(self, changed: Mapping[str, str | None]) -> None:
        if gone := [name for name, identity in changed.items() if identity is None]:
            # Making it is the business of whoever removed it; a new start of this makes it, too.
            waiting = f"{' and '.join(gone)} is gone; waiting until it is made again"
            if self.waiting != waiting:
                _log.warning("%s", waiting)
            self.waiting = waiting
            self._watchdog.excuse(time.monotonic())
            return
        left_out = sum(self._by_topic[name].land_confirmed() for name in changed)
        names = " and ".join(changed)
        raise TopicChangedError(
            f"{names} was made again" + (f" ({left_out:,} records left out)" if left_out else ""),
            "what is in it now is read from its beginning",
        )

    def _land(self) -> None:
        for processor in self.processors:
            processor.close_and_emit()
        if not any(processor.pending for processor in self.processors):
            return
        for stream in self._quix.inputs.values():
            stream.flush()
        now = self._watch.identities()
        # What was read of a topic that is gone, and not yet made again, was of the one known.
        known = self._watch.known
        if changed := {name: now[name] for name in known if now[name] not in (known[name], None)}:
            self._topics_changed(changed)
        self._land_files()

    def _land_files(self) -> None:
        try:
            for processor in self.processors:
                processor.land()
        except LakeError as error:
            # Nothing of this checkpoint counts: it is read again when there is room.
            self._forget()
            if self.waiting != str(error):
                _log.error("waiting, nothing is lost: %s", error)
            self.waiting = str(error)
            self._watchdog.excuse(time.monotonic())
            raise SinkBackpressureError(retry_after=_DISK_RETRY_SECONDS) from error
        now = time.monotonic()
        self.waiting = None
        self._pace.done(now)
        self._watchdog.landed(now)

    def _forget(self) -> None:
        for processor in self.processors:
            processor.forget()
