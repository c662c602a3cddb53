"""One stream's records on their way: decided, gathered per partition, and landed at the checkpoint.

A checkpoint loses nothing because of its order: what goes out on topics is acknowledged, then the
files are durable, and the offsets are in them. Whatever dies before is read again, is decided alike
and lands. Here does not belong any decision about an event (``events``, ``windows``), what a
partition remembers (``memory``), nor when a checkpoint is due (``app``).
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.errors import LakeError
from streaming.config import SECOND_US, StreamConfig
from streaming.events import Event, decoder
from streaming.landing import Landing
from streaming.memory import Footers, Position, next_life, position_of, restore
from streaming.outputs import dead_letter, window_value
from streaming.quix.runtime import QuixInput
from streaming.records import RecordBatch, RejectedRecord
from streaming.topic_watch import End
from streaming.window_state import Window
from streaming.windows import OUTCOMES, REJECTED, PartitionWindows

_log = logging.getLogger(__name__)

CLOCK_MARGIN_US = 5 * SECOND_US
"""How far the broker's clock may be behind ours before a silent window is emitted too early."""
_ASK_AGAIN = 10
_ASK_AGAIN_SECONDS = 2.0
_BROKER_STAMPED = 2
"""``confluent_kafka.TIMESTAMP_LOG_APPEND_TIME``."""

Bounds = Callable[[], tuple[int, int]]
"""Asks for a partition's first offset and the one after its last record."""
OnEmit = Callable[[StreamConfig, str, Window], None]
"""Gets each window that is emitted, with its stream and its device."""


class TopicChangedError(LakeError):
    """The topic is another one than it was, or lost records: its offsets mean other records now."""


@dataclass(slots=True)
class _Partition:
    """What this process knows of one partition while it owns it.

    Attributes:
        position: How far it had landed when it was read back, and under which identity.
        windows: Its windows.
        next_offset: The next offset to decide.
        landed: The last offset that has landed; -1 if none has.
        commit: The newest commit of its records that this process has made.
        batch: Its records since the last checkpoint.
        read_to: Everything before this offset has been read; the markers of transactions count.
        end: Where it was when it had been read to its end.
        marked: ``next_offset`` when the topic's identity was last asked for.
        confirmed: What was decided before this offset is of the topic that it is taken for.
        closed_at: The partition's clock when silent devices were last looked for.
        ended_at: Of the newest answer on where it ends that was looked at.
        skipped: The newest range of offsets, the end not included, that the broker passed over,
            and when, in monotonic seconds.
        is_stale: It has to be read back: what it held was dropped.
        rereads: Records that have been decided may come again, since reading was set back.
    """

    position: Position
    windows: PartitionWindows
    next_offset: int
    landed: int
    commit: str = ""
    batch: RecordBatch = field(default_factory=RecordBatch)
    read_to: int = 0
    end: int = -1
    marked: int = 0
    confirmed: int = 0
    closed_at: int = 0
    ended_at: int = 0
    skipped: tuple[int, int, float] | None = None
    is_stale: bool = False
    rereads: bool = False


class StreamProcessor:
    """Decides a stream's records and holds them until the checkpoint.

    Args:
        config: The stream.
        source: Its topic.
        landing: Where its records go.
        on_emit: Gets each window that is emitted.
    """

    def __init__(
        self, config: StreamConfig, source: QuixInput, landing: Landing, on_emit: OnEmit
    ) -> None:
        self.config = config
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self._decode = decoder(config)
        self._source = source
        self._landing = landing
        self._records = Footers(landing.events)
        self._windows = Footers(landing.windows)
        self._on_emit = on_emit
        self._partitions: dict[int, _Partition] = {}
        self._given_away: dict[int, _Partition] = {}
        self._unstamped_said = False
        source.hand_records_to(self.on_records)

    def assign(self, number: int, topic_id: str, bounds: Bounds) -> int:
        """Take a partition over: read back what its later records need to know.

        Args:
            number: The partition.
            topic_id: Identity of the topic.
            bounds: Asks the broker for the first offset that it still has and the one after the
                last record.

        Returns:
            The offset to read from.
        """
        position = position_of(self._records, topic_id, number)
        start, name = position.last_offset + 1, f"{self.config.topic}/{number}"
        low, high = bounds()
        for _ in range(_ASK_AGAIN):
            # A broker that has just started may not know yet how far its log goes.
            if start <= high:
                break
            time.sleep(_ASK_AGAIN_SECONDS)
            low, high = bounds()
        if start > high:
            _log.warning(
                "%s ends at offset %d, but what was read up to %d has landed: the broker has lost "
                "records. It is read from its beginning, as another topic.",
                *(name, high, start - 1),
            )
            position = Position(next_life(position.log_id), -1)
            start = low
        elif start < low:
            self._say_gone(number, start, low)
            start = low
        partition = self._kept(number, position) or self._read_back(number, position)
        partition.next_offset = partition.read_to = start
        partition.marked = partition.confirmed = start
        self._partitions[number] = partition
        return start

    def revoke(self, numbers: Sequence[int]) -> None:
        """Give partitions away; what has not landed is read by their next owner."""
        for number in numbers:
            partition = self._partitions.pop(number, None)
            if partition is not None and not partition.batch.size and not partition.is_stale:
                self._given_away[number] = partition

    def forget(self) -> None:
        """Drop what no checkpoint holds: it will be read again, here or elsewhere."""
        for partition in self._partitions.values():
            partition.rereads = True
            if partition.batch.size:
                partition.is_stale = True
                partition.batch = RecordBatch()

    def on_records(self, number: int, messages: Sequence[Any]) -> None:
        """Decide records of a partition and keep them.

        Args:
            number: The partition.
            messages: ``confluent_kafka.Message`` in the order of their offsets, without errors.

        Raises:
            TopicChangedError: Offsets have gone back.
        """
        partition = self._partitions.get(number)
        if partition is None:
            return
        if partition.is_stale:
            partition = self._again(number)
        decode, process = self._decode, partition.windows.process
        batch, outcomes = partition.batch, self.outcomes
        next_offset = partition.next_offset
        for message in messages:
            offset = message.offset()
            if offset < next_offset:
                if partition.rereads:
                    continue
                raise TopicChangedError(
                    f"{self.config.topic}/{number} gives offset {offset} after {next_offset - 1}",
                    "it is read anew from where it has landed",
                )
            if offset > next_offset:
                partition.skipped = (next_offset, offset, time.monotonic())
            value, key = message.value(), message.key()
            kind, broker_ms = message.timestamp()
            broker_us, stamped = broker_ms * 1000, kind == _BROKER_STAMPED
            decoded = decode(value, key, broker_us)
            if isinstance(decoded, Event):
                outcome = process(decoded, broker_us, offset, stamped=stamped)
                batch.add(
                    offset,
                    broker_us,
                    outcome,
                    decoded,
                    partition.windows.device,
                    value if decoded[4] else None,
                )
            else:
                outcome = REJECTED
                partition.windows.observe(broker_us, stamped=stamped)
                record = RejectedRecord(offset, broker_us, decoded, key, value)
                batch.reject(record)
                self._source.produce_dead_letter(
                    self.config.dead_letter_topic,
                    dead_letter(self.config, record, partition=number),
                )
            outcomes[outcome] += 1
            next_offset = offset + 1
            batch.stamped = stamped
        if not batch.stamped and not self._unstamped_said:
            self._say_unstamped()
        if next_offset > partition.next_offset:
            partition.next_offset, partition.rereads = next_offset, False
        partition.read_to = max(partition.read_to, next_offset)

    def reached_end(self, number: int, offset: int) -> None:
        """Note that a partition has been read to its end.

        Args:
            number: The partition.
            offset: Its end; the last record may be further back, before a transaction's marker.
        """
        partition = self._partitions.get(number)
        if partition is not None and not partition.is_stale:
            partition.read_to = partition.end = max(partition.read_to, offset)

    @property
    def rows(self) -> int:
        """Records held since the last checkpoint."""
        return sum(partition.batch.size for partition in self._partitions.values())

    @property
    def pending(self) -> bool:
        """Whether a checkpoint would land anything."""
        return any(
            p.batch.size or (p.windows.changed and not p.is_stale)
            for p in self._partitions.values()
        )

    @property
    def held_bytes(self) -> int:
        """Memory that the records held since the last checkpoint take, roughly."""
        return sum(partition.batch.held_bytes for partition in self._partitions.values())

    @property
    def devices(self) -> int:
        """Devices known in the partitions that this process owns."""
        return sum(len(each.windows.state.devices) for each in self._partitions.values())

    @property
    def read_to(self) -> dict[int, int]:
        """Partitions owned, and the offset before which everything has been read."""
        return {number: each.read_to for number, each in self._partitions.items()}

    def lag(self, ends: Mapping[tuple[str, int], End]) -> dict[int, int]:
        """Records that wait, by partition; those of transactions that are open do not.

        Args:
            ends: Where the partitions ended when the broker was last asked.
        """
        found = {}
        for number, partition in self._partitions.items():
            end = ends.get((self.config.topic, number))
            if end is not None:
                is_read = partition.read_to == partition.end
                found[number] = 0 if is_read else max(0, end.offset - partition.read_to)
        return found

    def open_starts(self) -> set[int]:
        """Starts of the windows that are not final yet."""
        return {
            window.start
            for partition in self._partitions.values()
            for device in partition.windows.state.devices.values()
            for window in device.windows
            if not window.is_final
        }

    def close_and_emit(self) -> None:
        """Close what is due and emit it: before a checkpoint, so that all of it lands as final."""
        for _, partition in self._current():
            partition.windows.close_silent()
            self._emit(partition)

    def land(self) -> None:
        """Land what is held, and with it the offsets.

        Raises:
            LakeError: The disk refuses. Then nothing may be kept: see ``forget``.
        """
        for number, partition in self._current():
            self._land(number, partition)

    def mark(self) -> None:
        """The topic's identity is being asked for: see ``land_confirmed``."""
        for partition in self._partitions.values():
            partition.marked = partition.next_offset

    def confirm(self) -> None:
        """The topic's identity, as asked for at ``mark``, is the one it is taken for."""
        for partition in self._partitions.values():
            partition.confirmed = partition.marked

    def land_confirmed(self) -> int:
        """Land what surely is of the topic that this was; the topic is another one by now.

        Returns:
            Records left out: they may be of either, and are read again if they are of the new one.
        """
        left_out = 0
        for number, partition in self._current():
            held = partition.batch
            again = self._read_back(number, position_of(self._records, *self._place(number)))
            again.next_offset = partition.next_offset
            sizes = len(self.config.measures), len(self.config.attributes)
            for record in held.until(partition.confirmed, *sizes):
                if isinstance(record, RejectedRecord):
                    again.windows.observe(record.broker_us, stamped=held.stamped)
                    again.batch.reject(record)
                else:
                    offset, broker_us, event, payload = record
                    outcome = again.windows.process(event, broker_us, offset, stamped=held.stamped)
                    device = again.windows.device
                    again.batch.add(offset, broker_us, outcome, event, device, payload)
            left_out += held.size - again.batch.size
            again.windows.close_silent()
            self._emit(again)
            if again.batch.size:
                again.next_offset = again.batch.last_offset + 1
            self._land(number, again)
        self._partitions.clear()
        return left_out

    def look_for_silence(self, ends: Mapping[tuple[str, int], End]) -> None:
        """Close and emit the windows that silence makes final.

        Args:
            ends: Where the partitions ended when the broker was last asked.
        """
        for number, partition in self._current():
            windows, clock = partition.windows, partition.windows.state.clock.broker_us
            if clock != partition.closed_at:
                partition.closed_at = clock
                windows.close_silent()
            end = ends.get((self.config.topic, number))
            if (
                end is not None
                and end.asked_us != partition.ended_at
                and partition.read_to >= end.offset
            ):
                # Whatever comes has been stamped after the broker was asked.
                partition.ended_at = end.asked_us
                windows.emit_silent(end.asked_us - CLOCK_MARGIN_US)
            self._emit(partition)

    def look_for_gaps(self, begins: Mapping[tuple[str, int], int], asked: float) -> None:
        """Say which records the broker removed before they were read.

        What it passes over for another reason, markers and aborted records, was never a record.

        Args:
            begins: The oldest offset that the broker still has of each partition.
            asked: When it was asked, monotonic seconds.
        """
        for number, partition in self._partitions.items():
            begin = begins.get((self.config.topic, number))
            if partition.skipped is not None and begin is not None:
                first, end, noticed = partition.skipped
                if asked < noticed:
                    continue
                if begin >= end:
                    self._say_gone(number, first, end)
                partition.skipped = None

    def _land(self, number: int, partition: _Partition) -> None:
        windows, batch = partition.windows, partition.batch
        log_id = partition.position.log_id
        if windows.changed:
            # Windows first: a build between the two files knows by their offset to wait.
            changed = [(name, window) for (name, _), window in windows.changed.items()]
            through = max(partition.next_offset - 1, max(w.version for _, w in changed))
            self._landing.land_windows(log_id, number, changed, through)
            windows.changed = {}
        if batch.size:
            info = self._landing.land_events(
                log_id, number, batch, after_offset=partition.landed, state=windows.state
            )
            partition.landed, partition.commit = batch.last_offset, info.batch_id
            partition.batch = RecordBatch()

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
            if not partition.is_stale:
                yield number, partition

    def _place(self, number: int) -> tuple[str, int]:
        return self._partitions[number].position.log_id.partition("~")[0], number

    def _kept(self, number: int, position: Position) -> _Partition | None:
        """What a partition was when it was given away, if nobody has landed anything since."""
        partition = self._given_away.pop(number, None)
        newest = position.chain[0].batch_id if position.chain else None
        if partition is None or not partition.commit or partition.commit != newest:
            return None
        return partition if partition.position.log_id == position.log_id else None

    def _read_back(self, number: int, position: Position) -> _Partition:
        state = restore(self.config, self._records, self._windows, number, position)
        windows = PartitionWindows(self.config, state)
        return _Partition(position, windows, position.last_offset + 1, position.last_offset)

    def _again(self, number: int) -> _Partition:
        again = self._read_back(number, position_of(self._records, *self._place(number)))
        again.confirmed = again.marked = again.next_offset
        again.rereads = True
        self._partitions[number] = again
        return again

    def _say_gone(self, number: int, first: int, end: int) -> None:
        _log.warning(
            "offsets %d to %d of %s/%d are gone: the broker removed them before they were read. "
            "Reading goes on at %d.",
            *(first, end - 1, self.config.topic, number, end),
        )

    def _say_unstamped(self) -> None:
        self._unstamped_said = True
        _log.warning(
            "%s is stamped by its producers (message.timestamp.type=CreateTime): silence is judged "
            "by their clocks, and two that are wrong can make others' readings late. Next: set it "
            "to LogAppendTime, or see `lake doctor`.",
            self.config.topic,
        )
