"""One stream's records on their way: decided, gathered per partition, and landed at the checkpoint.

A checkpoint loses nothing because of its order: files durable, then state to the changelog, then
offsets (``streaming.quix`` does the latter two). Whatever dies in between is read again, is decided
alike and lands again, and staging keeps one. Here does not belong any decision about an event
(``events``, ``windows``), nor when a checkpoint is due (``app``).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from streaming.config import SECOND_US, StreamConfig
from streaming.events import Event, decoder
from streaming.landing import Landing
from streaming.outputs import dead_letter_headers, window_value
from streaming.quix.runtime import QuixInput
from streaming.records import EventRecord, RecordBatch, RejectedRecord
from streaming.window_state import Window, WindowStore
from streaming.windows import OUTCOMES, REJECTED, PartitionWindows

SILENT_SECONDS = 2.0
"""A partition without records for so long is looked at: has it been read to its end?"""
CLOCK_MARGIN_US = 5 * SECOND_US
"""How far the broker's clock may be behind ours before a silent window is emitted too early."""

OnEmit = Callable[[StreamConfig, str, Window], None]
"""Gets each window that is emitted, with its stream and its device."""


@dataclass(slots=True)
class _Partition:
    """What this process knows of one partition while it owns it.

    Attributes:
        owner: What ``QuixInput.owned`` said when it was loaded.
        store: Where its state is kept.
        windows: Its windows.
        batch: Its records since the last checkpoint.
        next_offset: The next offset to read; -1 if none has been read.
        quiet_offset: ``next_offset`` when silence was last looked for.
        active: Monotonic seconds when ``next_offset`` was last seen to move.
    """

    owner: object
    store: WindowStore
    windows: PartitionWindows
    batch: RecordBatch = field(default_factory=RecordBatch)
    next_offset: int = -1
    quiet_offset: int = -1
    active: float = field(default_factory=time.monotonic)


class StreamProcessor:
    """Decides a stream's records and holds them until the checkpoint.

    Args:
        config: The stream.
        source: Its topic.
        landing: Where its records go.
        log_id: Identity of the topic, see ``Landing``.
        on_emit: Gets each window that is emitted.
    """

    def __init__(
        self,
        config: StreamConfig,
        source: QuixInput,
        landing: Landing,
        log_id: str,
        on_emit: OnEmit,
    ) -> None:
        self.config = config
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self._decode = decoder(config)
        self._source = source
        self._landing = landing
        self._log_id = log_id
        self._on_emit = on_emit
        self._owned = source.owned
        self._partitions: dict[int, _Partition] = {}
        source.hand_records_to(self.on_record)

    def on_record(
        self, value: bytes | None, key: bytes | None, broker_us: int, number: int, offset: int
    ) -> None:
        """Decide one record and keep it.

        Args:
            value: Its value.
            key: Its key.
            broker_us: Its broker timestamp, microseconds since 1970 UTC.
            number: Its partition.
            offset: Its offset.
        """
        partition = self._partitions.get(number)
        if partition is None or partition.owner is not self._owned.get(number):
            partition = self._load(number)
        decoded = self._decode(value, key, broker_us)
        batch = partition.batch
        if batch.first_offset < 0:
            batch.first_offset = offset
        batch.last_offset = offset
        if isinstance(decoded, Event):
            outcome = partition.windows.process(decoded, broker_us, offset)
            payload = value if decoded.keep_payload else None
            batch.events.append(EventRecord(offset, broker_us, outcome, decoded, key, payload))
        else:
            outcome = REJECTED
            partition.windows.observe(broker_us)
            record = RejectedRecord(offset, broker_us, decoded, key, value)
            batch.rejected.append(record)
            batch.payload_bytes += len(value or b"")
            self._source.produce(
                self.config.dead_letter_topic,
                key=key,
                value=value,
                headers=dead_letter_headers(self.config, record, partition=number),
            )
        self.outcomes[outcome] += 1
        partition.next_offset = offset + 1

    @property
    def rows(self) -> int:
        """Records held since the last checkpoint."""
        return sum(partition.batch.size for partition in self._partitions.values())

    @property
    def pending(self) -> bool:
        """Whether a checkpoint would land anything."""
        return any(p.batch.size or p.windows.changed for p in self._partitions.values())

    @property
    def payload_bytes(self) -> int:
        """Original bytes held since the last checkpoint."""
        return sum(partition.batch.payload_bytes for partition in self._partitions.values())

    @property
    def devices(self) -> int:
        """Devices seen in the partitions that this process owns."""
        return sum(len(each.windows.state.devices) for each in self._partitions.values())

    def open_starts(self) -> set[int]:
        """Starts of the windows that are not final yet."""
        return {
            window.start
            for partition in self._partitions.values()
            for device in partition.windows.state.devices.values()
            for window in device.windows.values()
            if not window.is_final
        }

    def land(self) -> None:
        """Land what is held and hand the state to its store; first step of a checkpoint.

        Raises:
            LakeError: The disk refuses. Then nothing may be kept: see ``forget``.
        """
        for number, partition in self._current():
            windows, batch = partition.windows, partition.batch
            self._emit(partition)
            if windows.changed:
                # Windows first: a build between the two files knows by their offset to wait.
                changed = [(name, window) for (name, _), window in windows.changed.items()]
                through = max(partition.next_offset - 1, max(w.version for _, w in changed))
                self._landing.land_windows(number, changed, through)
            if batch.size:
                self._landing.land_events(number, batch)
            if windows.state.touched or batch.size:
                through = partition.next_offset - 1
                partition.store.save(self._source.transaction(number), windows.state, through)
            windows.changed.clear()
            partition.batch = RecordBatch()

    def forget(self) -> None:
        """Drop what no checkpoint holds: it will be read again."""
        self._partitions.clear()

    def look_for_silence(self, now: float, now_us: int) -> None:
        """Close and emit the windows that silence makes final.

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
            if partition.next_offset != partition.quiet_offset:
                partition.quiet_offset, partition.active = partition.next_offset, now
            quiet = now - partition.active >= SILENT_SECONDS
            passed = now_us - CLOCK_MARGIN_US
            # Asking the broker waits behind our own fetches: only when something is due.
            due = (
                quiet
                and windows.emits_by_silence(passed)
                and self._source.is_read_to_its_end(number, partition.next_offset)
            )
            if due and windows.emit_silent(passed):
                # Written at once, so that a checkpoint follows even if no record does.
                through = partition.batch.first_offset - 1 if partition.batch.size else -1
                partition.store.save(self._source.transaction(number), windows.state, through)
            self._emit(partition)

    def _emit(self, partition: _Partition) -> None:
        for name, window in partition.windows.to_emit:
            self._source.produce(
                self.config.minutes_topic,
                key=name.encode(),
                value=window_value(self.config, window, device=name),
            )
            self._on_emit(self.config, name, window)
        partition.windows.to_emit.clear()

    def _current(self) -> Iterator[tuple[int, _Partition]]:
        for number, partition in list(self._partitions.items()):
            if partition.owner is self._owned.get(number):
                yield number, partition
            else:
                # Lost to another instance: what is held here is its to read.
                del self._partitions[number]

    def _load(self, number: int) -> _Partition:
        store = WindowStore(self._log_id)
        state = store.load(
            self._source.transaction(number),
            lambda offset: self._landing.has_landed(number, offset),
        )
        windows = PartitionWindows(self.config, state)
        partition = _Partition(self._owned[number], store, windows)
        self._partitions[number] = partition
        return partition
