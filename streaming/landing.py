"""Landing records and minutes as raw commits, one file per topic, partition and checkpoint.

Here belong the Arrow schemas of the raw tables and the writing of what a checkpoint has gathered.
Here does not belong when a checkpoint is due (``pace``) or that offsets follow it (``topology``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse.raw import CommitInfo, CommitWriter, RawFileError, RawTable, new_batch_id, raw_schema
from streaming.config import StreamConfig
from streaming.events import Event
from streaming.windows import Window

SOURCE = "stream"
WRITER = f"streaming/{version('local-lakehouse')}"
_TIME = pa.timestamp("us", tz="UTC")
_MEASURE = pa.decimal128(18, 6)


def events_schema(config: StreamConfig) -> pa.Schema:
    """Raw schema of a stream's records: where each was, what was decided, what it says.

    ``payload`` holds the original bytes of rejected records, and of those that say more than the
    columns hold.
    """
    return raw_schema(
        pa.schema(
            [
                ("log_id", pa.string()),
                ("topic", pa.string()),
                ("topic_partition", pa.int32()),
                ("record_offset", pa.int64()),
                ("broker_at", _TIME),
                ("outcome", pa.string()),
                ("reasons", pa.string()),
                ("device", pa.string()),
                ("event_at", _TIME),
                *((name, pa.string()) for name in config.attributes),
                *((measure.name, _MEASURE) for measure in config.measures),
                ("record_key", pa.binary()),
                ("payload", pa.binary()),
            ]
        )
    )


def windows_schema(config: StreamConfig) -> pa.Schema:
    """Raw schema of a stream's minutes.

    Each row replaces those of the same device and minute with a smaller ``version``, or with the
    same ``version`` and not ``is_final``.
    """
    return raw_schema(
        pa.schema(
            [
                ("log_id", pa.string()),
                ("topic", pa.string()),
                ("topic_partition", pa.int32()),
                ("version", pa.int64()),
                ("through_offset", pa.int64()),
                ("device", pa.string()),
                ("window_start", _TIME),
                ("window_end", _TIME),
                ("is_final", pa.bool_()),
                ("event_count", pa.int64()),
                ("duplicate_count", pa.int64()),
                *(
                    (f"{measure.name}_{what}", _MEASURE)
                    for measure in config.measures
                    for what in ("sum", "min", "max")
                ),
            ]
        )
    )


class Gathered:
    """What one partition's records have come to since the last checkpoint.

    Attributes:
        first: Offset of the first record.
        last: Offset of the last record; -1 without any.
        events: A row for each valid one: offset, broker time, outcome, event, key, payload.
        rejects: A row for each rejected one: offset, broker time, reasons, key, payload.
        payload_bytes: Original bytes held.
    """

    __slots__ = ("events", "first", "last", "payload_bytes", "rejects")

    def __init__(self) -> None:
        self.first = -1
        self.last = -1
        self.events: list[tuple[int, int, str, Event, bytes | None, bytes | None]] = []
        self.rejects: list[tuple[int, int, tuple[str, ...], bytes | None, bytes | None]] = []
        self.payload_bytes = 0

    @property
    def rows(self) -> int:
        """Records gathered."""
        return len(self.events) + len(self.rejects)


class Landing:
    """Writes one stream's raw tables.

    Args:
        raw_dir: The raw layer's folder.
        config: The stream.
        log_id: Tells this topic from one of the same name that was deleted or stood on another
            broker: their offsets both begin at 0 and mean different records.
    """

    def __init__(self, raw_dir: Path, config: StreamConfig, log_id: str) -> None:
        self._config = config
        self._log_id = log_id
        self._events = RawTable(raw_dir, SOURCE, config.events_table)
        self._windows = RawTable(raw_dir, SOURCE, config.windows_table)
        self._events_schema = events_schema(config)
        self._windows_schema = windows_schema(config)
        self._newest: dict[str, str] = {}

    def land_events(self, partition: int, gathered: Gathered) -> CommitInfo:
        """Land a partition's records; when this returns they survive a crash of the machine.

        Raises:
            LakeError: The disk is full or refuses; nothing was landed.
        """
        events, rejects = gathered.events, gathered.rejects
        count = len(events) + len(rejects)
        nothing = [None] * len(rejects)
        read = [row[3] for row in events]
        columns: dict[str, Any] = {
            "log_id": _constant(self._log_id, pa.string(), count),
            "topic": _constant(self._config.topic, pa.string(), count),
            "topic_partition": _constant(partition, pa.int32(), count),
            "record_offset": [row[0] for row in events] + [row[0] for row in rejects],
            "broker_at": [row[1] for row in events] + [row[1] for row in rejects],
            "outcome": [row[2] for row in events] + ["rejected"] * len(rejects),
            "reasons": [None] * len(events) + [",".join(row[2]) for row in rejects],
            "device": [event.device for event in read] + nothing,
            "event_at": [event.at_us for event in read] + nothing,
            "record_key": [row[4] for row in events] + [row[3] for row in rejects],
            "payload": [row[5] for row in events] + [row[4] for row in rejects],
        }
        for place, name in enumerate(self._config.attributes):
            columns[name] = [event.attributes[place] for event in read] + nothing
        for place, measure in enumerate(self._config.measures):
            values = [event.values[place] for event in read]
            columns[measure.name] = _decimals(values, empty=len(rejects))
        at = [event.at_us for event in read]
        details = {
            "log_id": self._log_id,
            "topic": self._config.topic,
            "partition": partition,
            "first_offset": gathered.first,
            "last_offset": gathered.last,
            "event_at_min": min(at, default=None),
            "event_at_max": max(at, default=None),
        }
        return self._commit(self._events, self._events_schema, columns, count, details)

    def has_landed(self, partition: int, offset: int) -> bool:
        """Whether this raw layer holds a partition's records up to an offset."""
        if offset < 0:
            return True
        for path in reversed(self._events.commits()):
            try:
                details = self._events.read(path).details
            except RawFileError:
                continue
            if (details["log_id"], details["partition"]) == (self._log_id, partition):
                return bool(details["last_offset"] >= offset)
        return False

    def land_windows(
        self, partition: int, windows: Sequence[tuple[str, Window]], through: int
    ) -> CommitInfo:
        """Land the newest version of a partition's minutes.

        Args:
            partition: The partition.
            windows: Device and minute, each once.
            through: Offset of the last record they take into account.

        Raises:
            LakeError: The disk is full or refuses; nothing was landed.
        """
        minutes = [window for _, window in windows]
        count = len(minutes)
        columns: dict[str, Any] = {
            "log_id": _constant(self._log_id, pa.string(), count),
            "topic": _constant(self._config.topic, pa.string(), count),
            "topic_partition": _constant(partition, pa.int32(), count),
            "version": [window.version for window in minutes],
            "through_offset": _constant(through, pa.int64(), count),
            "device": [name for name, _ in windows],
            "window_start": [window.start for window in minutes],
            "window_end": [window.end for window in minutes],
            "is_final": [window.closed or window.told for window in minutes],
            "event_count": [window.count for window in minutes],
            "duplicate_count": [window.duplicates for window in minutes],
        }
        for place, measure in enumerate(self._config.measures):
            for what in ("sum", "min", "max"):
                sides = {"sum": "sums", "min": "lows", "max": "highs"}
                values = [getattr(window, sides[what])[place] for window in minutes]
                columns[f"{measure.name}_{what}"] = _decimals(values)
        details = {
            "log_id": self._log_id,
            "topic": self._config.topic,
            "partition": partition,
            "first_offset": min(window.version for window in minutes),
            "last_offset": through,
        }
        return self._commit(self._windows, self._windows_schema, columns, count, details)

    def _commit(
        self,
        table: RawTable,
        schema: pa.Schema,
        columns: dict[str, Any],
        count: int,
        details: dict[str, Any],
    ) -> CommitInfo:
        batch_id = new_batch_id(self._newest.get(table.table))
        now = datetime.now(UTC)
        columns |= {
            "_batch_id": _constant(batch_id, pa.string(), count),
            "_op": _constant("upsert", pa.string(), count),
            "_extracted_at": _constant(now, _TIME, count),
            "_unrepresentable": pa.nulls(count, pa.string()),
        }
        data = pa.table(
            [
                value if isinstance(value, pa.Array) else pa.array(value, field.type)
                for field in schema
                for value in (columns[field.name],)
            ],
            schema=schema,
        )
        with CommitWriter(table, schema, batch_id) as writer:
            writer.write(data)
            info = writer.commit(
                kind="stream", writer=WRITER, extracted_at=now, upserts=count, details=details
            )
        self._newest[table.table] = batch_id
        return info


def _constant(value: object, kind: pa.DataType, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _decimals(millionths: list[int], empty: int = 0) -> pa.Array:
    """Decimals from whole millionths, then ``empty`` NULLs, without a Python object per value."""
    count = len(millionths) + empty
    words = np.zeros((count, 2), dtype="<i8")
    words[: len(millionths), 0] = millionths
    words[:, 1] = words[:, 0] >> 63
    present = np.arange(count) < len(millionths)
    mask = pa.py_buffer(np.packbits(present, bitorder="little").tobytes()) if empty else None
    return pa.Array.from_buffers(_MEASURE, count, [mask, pa.py_buffer(words.tobytes())])
