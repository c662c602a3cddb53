"""One stream as a Quix dataframe: every record decided, gathered, and landed at the checkpoint.

The order of a checkpoint is what makes the stream lose nothing: files durable, then state to the
changelog, then offsets (Quix's ``Checkpoint.commit``). Whatever dies in between is read again, is
decided alike and lands again, and staging keeps one. Here does not belong any decision about an
event, nor the application around the streams (``app``).
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import TopicPartition
from quixstreams.context import message_context
from quixstreams.dataframe import StreamingDataFrame

from streaming.config import MICRO, SECOND_US, StreamConfig
from streaming.events import Event, decoder
from streaming.landing import Gathered, Landing
from streaming.store import WindowStore
from streaming.windows import REJECTED, PartitionWindows, Window

_log = logging.getLogger(__name__)

SILENT_SECONDS = 2.0
"""A partition without records for so long is looked at: has it been read to its end?"""
CLOCK_MARGIN_US = 5 * SECOND_US
"""How far the broker's clock may be behind ours before a silent minute is told too early."""


@dataclass(slots=True)
class _Partition:
    """What this process knows of one partition while it owns it."""

    owner: object
    store: WindowStore
    windows: PartitionWindows
    gathered: Gathered = field(default_factory=Gathered)
    next_offset: int = -1
    looked_at: int = -1
    active: float = field(default_factory=time.monotonic)


FinalMinute = Callable[[StreamConfig, str, Window], None]
"""Told of each device's minute when it becomes final."""


class StreamTopology:
    """Decides a stream's records and holds them until the checkpoint.

    Args:
        config: The stream.
        dataframe: Its topic's dataframe; keys and values are bytes.
        landing: Where its records go.
        log_id: Identity of the topic, see ``Landing``.
        on_final: Told of each final minute.
    """

    def __init__(
        self,
        config: StreamConfig,
        dataframe: StreamingDataFrame,
        landing: Landing,
        log_id: str,
        on_final: FinalMinute,
    ) -> None:
        self.config = config
        self.outcomes = {"accepted": 0, "late": 0, "duplicate": 0, "rejected": 0}
        self._decode = decoder(config)
        self._landing = landing
        self._log_id = log_id
        self._on_final = on_final
        self._partitions: dict[int, _Partition] = {}
        self._stream_id = dataframe.stream_id
        self.context = dataframe.processing_context
        dataframe.register_store()
        self._owned = self.context.state_manager.get_store(self._stream_id, "default").partitions
        dataframe.update(self.on_record, metadata=True)

    def on_record(self, value: bytes | None, key: bytes | None, broker_ms: int, _: Any) -> None:
        """Decide one record and gather it."""
        place = message_context()
        number, offset = place.partition, place.offset
        partition = self._partitions.get(number)
        if partition is None or partition.owner is not self._owned.get(number):
            partition = self._load(number)
        broker_us = broker_ms * 1000
        read = self._decode(value, key, broker_us)
        gathered = partition.gathered
        if gathered.first < 0:
            gathered.first = offset
        gathered.last = offset
        if isinstance(read, Event):
            outcome = partition.windows.process(read, broker_us, offset)
            payload = value if read.keep_payload else None
            gathered.events.append((offset, broker_us, outcome, read, key, payload))
        else:
            outcome = REJECTED
            partition.windows.observe(broker_us)
            gathered.rejects.append((offset, broker_us, read, key, value))
            gathered.payload_bytes += len(value or b"")
            self._send_dead_letter(number, offset, read, key, value)
        self.outcomes[outcome] += 1
        partition.next_offset = offset + 1

    @property
    def rows(self) -> int:
        """Records gathered since the last checkpoint."""
        return sum(partition.gathered.rows for partition in self._partitions.values())

    @property
    def pending(self) -> bool:
        """Whether a checkpoint would land anything."""
        return any(p.gathered.rows or p.windows.changed for p in self._partitions.values())

    @property
    def payload_bytes(self) -> int:
        """Original bytes held since the last checkpoint."""
        return sum(partition.gathered.payload_bytes for partition in self._partitions.values())

    @property
    def devices(self) -> int:
        """Devices seen in the partitions that this process owns."""
        return sum(len(partition.windows.devices) for partition in self._partitions.values())

    def open_starts(self) -> set[int]:
        """Starts of the minutes that are not final yet."""
        return {
            window.start
            for partition in self._partitions.values()
            for device in partition.windows.devices.values()
            for window in device.windows.values()
            if not window.told
        }

    def flush(self) -> None:
        """Land what is gathered and hand the open minutes to the store; first step of a checkpoint.

        Raises:
            LakeError: The disk refuses. Then nothing may be kept: see ``clear``.
        """
        for number, partition in self._current():
            windows, gathered = partition.windows, partition.gathered
            self._tell(partition)
            if windows.changed:
                # Minutes first: a build between the two files knows by their offset to wait.
                minutes = [(name, window) for (name, _), window in windows.changed.items()]
                through = max(partition.next_offset - 1, max(w.version for _, w in minutes))
                self._landing.land_windows(number, minutes, through)
            if gathered.rows:
                self._landing.land_events(number, gathered)
            if windows.touched or gathered.rows:
                through = partition.next_offset - 1
                partition.store.save(self._transaction(number), windows, through)
            windows.changed.clear()
            partition.gathered = Gathered()

    def clear(self) -> None:
        """Forget what no checkpoint holds: it will be read again."""
        self._partitions.clear()

    def look_at_silence(self, now: float, now_us: int) -> None:
        """Make final what silence has closed, and tell of it.

        Args:
            now: Monotonic seconds.
            now_us: Our clock, microseconds since 1970 UTC.
        """
        for number in list(self._owned):
            if number not in self._partitions:
                self._load(number)
        for number, partition in self._current():
            windows = partition.windows
            windows.close_silent()
            if partition.next_offset != partition.looked_at:
                partition.looked_at, partition.active = partition.next_offset, now
            quiet = now - partition.active >= SILENT_SECONDS
            passed = now_us - CLOCK_MARGIN_US
            # Asking the broker waits behind our own fetches: only when something is due.
            due = quiet and windows.has_untold(passed) and self._read_to_its_end(number, partition)
            if due and windows.tell_silent(passed):
                # Written at once, so that a checkpoint follows even if no record does.
                through = partition.gathered.first - 1 if partition.gathered.rows else -1
                partition.store.save(self._transaction(number), windows, through)
            self._tell(partition)

    def _tell(self, partition: _Partition) -> None:
        for name, window in partition.windows.final:
            self.context.producer.produce(
                topic=self.config.minutes_topic,
                key=name.encode(),
                value=orjson.dumps(self.final_row(name, window)),
            )
            self._on_final(self.config, name, window)
        partition.windows.final.clear()

    def final_row(self, device: str, window: Window) -> dict[str, Any]:
        """A final minute as it goes to the output topic."""
        row: dict[str, Any] = {
            "device": device,
            "window_start_us": window.start,
            "window_end_us": window.end,
            "event_count": window.count,
            "duplicate_count": window.duplicates,
        }
        for place, measure in enumerate(self.config.measures):
            row[f"{measure.name}_sum"] = window.sums[place] / MICRO
            row[f"{measure.name}_min"] = window.lows[place] / MICRO
            row[f"{measure.name}_max"] = window.highs[place] / MICRO
            row[f"{measure.name}_mean"] = window.sums[place] / MICRO / window.count
        return row

    def _send_dead_letter(
        self,
        partition: int,
        offset: int,
        reasons: tuple[str, ...],
        key: bytes | None,
        value: bytes | None,
    ) -> None:
        self.context.producer.produce(
            topic=self.config.dead_letter_topic,
            key=key,
            value=value,
            headers={
                "stream": self.config.name,
                "topic": self.config.topic,
                "partition": str(partition),
                "offset": str(offset),
                "reasons": ",".join(reasons),
            },
        )

    def _current(self) -> Iterator[tuple[int, _Partition]]:
        for number, partition in list(self._partitions.items()):
            if partition.owner is self._owned.get(number):
                yield number, partition
            else:
                # Lost to another instance: what is gathered here is its to read.
                del self._partitions[number]

    def _load(self, number: int) -> _Partition:
        store = WindowStore(self.config, self._log_id)
        windows = store.load(
            self._transaction(number), lambda offset: self._landing.has_landed(number, offset)
        )
        partition = _Partition(self._owned[number], store, windows)
        self._partitions[number] = partition
        return partition

    def _transaction(self, number: int) -> Any:
        return self.context.checkpoint.get_store_transaction(self._stream_id, number)

    def _read_to_its_end(self, number: int, partition: _Partition) -> bool:
        place = TopicPartition(self.config.topic, number)
        consumer = self.context.consumer
        bounds = consumer.get_watermark_offsets(place, timeout=2.0)
        if bounds is None:
            return False
        if partition.next_offset >= 0:
            return bool(partition.next_offset >= bounds[1])
        committed = consumer.committed([place], timeout=2.0)[0].offset
        return bool(committed >= bounds[1])
