"""What a partition's landed files say: where to go on, and what its later records need to know.

The raw layer is the stream's only memory. The footer of a landed events file names the offset range
it holds, the offset it stands on, and the partition's clock; its rows hold each device's watermark.
Here belongs reading that back: from the newest file along the chain of what each stands on, as far
back as a device is remembered or an open window reaches. Here does not belong deciding anything
(``windows``) or asking the broker (``topics``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.raw import RawFileError, RawTable
from lakehouse.raw.names import batch_time
from streaming.config import MICRO, MINUTE_US, StreamConfig
from streaming.window_state import NEVER, Device, PartitionClock, PartitionState, Window
from streaming.windows import ACCEPTED, AHEAD_US, DUPLICATE, known_since, open_us, watermark_of

Numbers = np.ndarray[Any, np.dtype[np.int64]]
_ONE_CHECKPOINT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class LandedRange:
    """One commit of a partition's records, as its footer tells it.

    Attributes:
        batch_id: The commit.
        first_offset: Of its first record. Likewise ``last_offset``.
        after_offset: The last offset that had landed before; -1 if none had.
        open_from: The first record of a window that was open after it; ``NEVER`` without any.
        clock: The partition's clock after it.
    """

    batch_id: str
    first_offset: int
    last_offset: int
    after_offset: int
    open_from: int
    clock: PartitionClock


class Footers:
    """What the footers of a raw table's commits say beyond the rows, each read once.

    Args:
        table: The raw table.

    Attributes:
        table: The raw table.
    """

    def __init__(self, table: RawTable) -> None:
        self.table = table
        self._details: dict[str, dict[str, Any] | None] = {}

    def newest_first(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Batch id and details of the commits, newest first, without those that cannot be read.

        `lake raw verify` names the latter; records that only they held are read again if nothing
        has landed after them.
        """
        for path in reversed(self.table.commits()):
            batch_id = path.stem
            if batch_id not in self._details:
                try:
                    self._details[batch_id] = self.table.read(path).details
                except RawFileError:
                    self._details[batch_id] = None
            details = self._details[batch_id]
            if details is not None:
                yield batch_id, details


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition has landed.

    Attributes:
        log_id: Identity of the topic.
        last_offset: The last offset that has landed; -1 if none has.
        chain: The commits that a reader has to look at, newest first.
    """

    log_id: str
    last_offset: int
    chain: tuple[LandedRange, ...] = ()


def life_of(log_id: str) -> tuple[str, int]:
    """Identity of a topic without and number of its life: 1, and one more after each loss."""
    name, _, number = log_id.partition("~")
    return name, int(number or 1)


def next_life(log_id: str) -> str:
    """Identity of a topic that has lost records which had landed: it gives their offsets anew."""
    name, number = life_of(log_id)
    return f"{name}~{number + 1}"


def position_of(footers: Footers, topic_id: str, partition: int) -> Position:
    """Where a partition's landed records end, and which commits tell how they left it.

    Bounded by the memory of devices, not by what has landed; only a partition that has never landed
    anything is looked for through all commits.

    Args:
        footers: Of the stream's records.
        topic_id: Identity of the topic now.
        partition: The partition.
    """
    log_id, life = topic_id, 1
    found: dict[int, LandedRange] = {}
    last = -1
    for batch_id, details in footers.newest_first():
        name, number = life_of(details["log_id"])
        if (name, details["partition"]) != (topic_id, partition) or number < life:
            continue
        if number > life:
            log_id, life, last = details["log_id"], number, -1
            found.clear()
        landed = _range(batch_id, details)
        # An instance that had lost the partition may have landed this range again: either will do.
        found.setdefault(landed.last_offset, landed)
        last = max(last, landed.last_offset)
        chain = _chain(found, last)
        if chain is not None:
            return Position(log_id, last, chain)
    chain = _chain(found, last, whole=True) or ()
    return Position(log_id, last, chain)


def _range(batch_id: str, details: dict[str, Any]) -> LandedRange:
    return LandedRange(
        batch_id,
        details["first_offset"],
        details["last_offset"],
        details["after_offset"],
        details["open_from"],
        PartitionClock(**details["clock"]),
    )


def _chain(
    found: dict[int, LandedRange], last: int, *, whole: bool = False
) -> tuple[LandedRange, ...] | None:
    """The commits that have to be looked at, newest first; None if older ones are missing.

    Args:
        found: Commits by their last offset.
        last: The newest of these.
        whole: There are no others.
    """
    newest = found.get(last)
    if newest is None:
        return None
    since, open_from = known_since(newest.clock.broker_us), newest.open_from
    if newest.clock.witness:
        since -= AHEAD_US
    chain, link = [newest], newest
    while link.after_offset >= 0:
        before = found.get(link.after_offset)
        if before is None:
            return tuple(chain) if whole else None
        if before.clock.broker_us < since and before.last_offset < open_from:
            return tuple(chain)
        chain.append(before)
        link = before
    return tuple(chain)


def restore(
    config: StreamConfig, records: Footers, windows: Footers, partition: int, position: Position
) -> PartitionState:
    """What the records that have landed leave to those that come.

    Args:
        config: The stream.
        records: Footers of its records.
        windows: Footers of its windows.
        partition: The partition.
        position: How far it has landed.
    """
    if not position.chain:
        return PartitionState()
    newest, open_from = position.chain[0].clock, position.chain[0].open_from
    state = PartitionState(PartitionClock(**{s: getattr(newest, s) for s in newest.__slots__}))
    ranges = {landed.batch_id: landed for landed in position.chain}
    seen: dict[str, tuple[int, int, int]] = {}
    recent = []
    for path, batch_ids in files_of(records.table, ranges):
        is_open = any(ranges[each].last_offset >= open_from for each in batch_ids)
        rows = _rows(config, path, batch_ids, with_measures=is_open)
        if rows is None:
            continue
        for place, name in rows.newest_of_each():
            said = (int(rows.offset[place]), int(rows.watermark[place]), int(rows.heard[place]))
            seen[name] = max(seen.get(name, said), said)
        if is_open:
            recent.append(rows)
    since = known_since(newest.broker_us)
    for name, (_, watermark, heard) in seen.items():
        if heard >= since:
            state.devices[name] = Device(name, watermark, heard)
    for rows in recent:
        _reopen(config, state, rows, newest.broker_us)
    for device in state.devices.values():
        device.find_earliest()
    _mark_emitted(windows, state, partition, position)
    return state


def files_of(table: RawTable, batch_ids: Iterable[str]) -> list[tuple[Path, list[str]]]:
    """The files that hold the rows of some commits, each with the commits wanted of it."""
    return [(part.path, list(part.batch_ids)) for part in table.slices(batch_ids)]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Valid events of a commit in the order of their offsets, column by column."""

    names: list[str]
    device: Numbers
    offset: Numbers
    at: Numbers
    watermark: Numbers
    heard: Numbers
    counted: np.ndarray[Any, np.dtype[np.bool_]]
    repeated: np.ndarray[Any, np.dtype[np.bool_]]
    values: list[pa.ChunkedArray]

    def newest_of_each(self) -> Iterator[tuple[int, str]]:
        """Place of the last event of each device, with its name."""
        places = np.zeros(len(self.names), dtype=np.int64)
        places[self.device] = np.arange(len(self.device))
        yield from zip(places.tolist(), self.names, strict=True)


def _rows(
    config: StreamConfig, path: Path, batch_ids: Sequence[str], *, with_measures: bool
) -> _Rows | None:
    columns = ["record_offset", "outcome", "device", "event_at", "broker_at"]
    columns += ["watermark_at", "heard_at"]
    measures = [measure.name for measure in config.measures] if with_measures else []
    table = _read(path, batch_ids, [*columns, *measures])
    table = table.filter(pc.is_valid(table.column("device")))
    if not table.num_rows:
        return None
    table = table.sort_by("record_offset").combine_chunks()
    device = table.column("device").combine_chunks().dictionary_encode()
    outcome = table.column("outcome")
    return _Rows(
        device.dictionary.to_pylist(),
        device.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        table.column("record_offset").to_numpy(),
        _times(table, "event_at"),
        _times(table, "watermark_at", "event_at"),
        _times(table, "heard_at", "broker_at"),
        pc.equal(outcome, ACCEPTED).to_numpy(),
        pc.equal(outcome, DUPLICATE).to_numpy(),
        [table.column(name) for name in measures],
    )


def _read(path: Path, batch_ids: Sequence[str], columns: list[str]) -> pa.Table:
    """The rows of some commits in a file, opening no more of it than their statistics ask for."""
    first, last = min(batch_ids), max(batch_ids)
    with pq.ParquetFile(path) as file:
        place = file.schema_arrow.get_field_index("_batch_id")
        groups = []
        for number in range(file.num_row_groups):
            found = file.metadata.row_group(number).column(place).statistics
            if found is None or not found.has_min_max or (found.min <= last and found.max >= first):
                groups.append(number)
        table = file.read_row_groups(groups, [*columns, "_batch_id"])
    mine = pc.is_in(table.column("_batch_id"), pa.array(batch_ids))
    return table.filter(mine).select(columns)


def _times(table: pa.Table, *names: str) -> Numbers:
    """Microseconds of the first of the columns that is not NULL."""
    found = pc.coalesce(*(table.column(name) for name in names)).cast(pa.int64())
    numbers: Numbers = found.to_numpy()
    return numbers


def _reopen(config: StreamConfig, state: PartitionState, rows: _Rows, moment: int) -> None:
    """Count the events of the windows that are open at a moment of the partition's clock."""
    watermarks = np.array(
        [
            watermark_of(device, moment, config.idle_us) if device is not None else NEVER
            for device in map(state.devices.get, rows.names)
        ],
        dtype=np.int64,
    )
    start = rows.at - rows.at % MINUTE_US
    is_open = start + open_us(config) > watermarks[rows.device]
    places = np.flatnonzero(is_open & (rows.counted | rows.repeated))
    if not len(places):
        return
    taken = [column.take(pa.array(places)).to_pylist() for column in rows.values]
    values = list(zip(*([int(v * MICRO) for v in column] for column in taken), strict=True))
    for number, place in enumerate(places.tolist()):
        device = state.devices[rows.names[rows.device[place]]]
        offset = int(rows.offset[place])
        window = device.window_of(int(start[place]))
        if window is None:
            window = Window(int(start[place]), offset)
            device.windows.append(window)
        window.first_offset = min(window.first_offset, offset)
        window.version = max(window.version, offset)
        if rows.counted[place]:
            window.is_new(int(rows.at[place]) % MINUTE_US)
            window.add(values[number])
        else:
            window.duplicates += 1


def _mark_emitted(
    footers: Footers, state: PartitionState, partition: int, position: Position
) -> None:
    """Note which of the open windows have been emitted, by the silence of their devices."""
    open_from = state.open_from
    if open_from == NEVER:
        return
    first = min(
        (each for each in position.chain if each.last_offset >= open_from),
        key=lambda landed: landed.last_offset,
    )
    # The windows of a checkpoint land just before its records, what silence emits after them.
    since = batch_time(first.batch_id) - _ONE_CHECKPOINT
    columns = ["device", "window_start", "version", "is_final"]
    wanted = []
    for batch_id, details in footers.newest_first():
        if batch_time(batch_id) < since:
            break
        if (details["log_id"], details["partition"]) == (position.log_id, partition):
            wanted.append(batch_id)
    for path, batch_ids in files_of(footers.table, wanted):
        table = _read(path, batch_ids, columns)
        final = table.filter(table.column("is_final"))
        for name, start, version in zip(
            final.column("device").to_pylist(),
            final.column("window_start").cast(pa.int64()).to_pylist(),
            final.column("version").to_pylist(),
            strict=True,
        ):
            device = state.devices.get(name)
            window = device.window_of(start) if device is not None else None
            if window is not None and window.version == version:
                window.emitted = True
