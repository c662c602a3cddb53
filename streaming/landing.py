"""Landing records and windows as raw commits, one file per topic, partition and checkpoint.

Here belong the Arrow schemas of the raw tables and writing them. Here does not belong when a
checkpoint is due (``checkpoint_pace``) or what is in it (``processor``).
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
from streaming.records import EventRecord, RecordBatch, RejectedRecord
from streaming.window_state import Window
from streaming.windows import REJECTED

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
    """Raw schema of a stream's windows.

    Each row replaces those of the same device and start with a smaller ``version``, or with the
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

    def land_events(self, partition: int, batch: RecordBatch) -> CommitInfo:
        """Land a partition's records; when this returns they survive a crash of the machine.

        Raises:
            LakeError: The disk is full or refuses; nothing was landed.
        """
        valid, rejected = batch.events, batch.rejected
        events = [record.event for record in valid]
        both: list[EventRecord | RejectedRecord] = [*valid, *rejected]
        nothing = [None] * len(rejected)
        columns: dict[str, Any] = {
            **self._origin(partition, len(both)),
            "record_offset": [record.offset for record in both],
            "broker_at": [record.broker_us for record in both],
            "outcome": [record.outcome for record in valid] + [REJECTED] * len(rejected),
            "reasons": [None] * len(valid) + [",".join(record.reasons) for record in rejected],
            "device": [event.device for event in events] + nothing,
            "event_at": [event.at_us for event in events] + nothing,
            "record_key": [record.key for record in both],
            "payload": [record.payload for record in both],
        }
        for place, name in enumerate(self._config.attributes):
            columns[name] = [event.attributes[place] for event in events] + nothing
        for place, measure in enumerate(self._config.measures):
            values = [event.values[place] for event in events]
            columns[measure.name] = _decimals(values, empty=len(rejected))
        at = [event.at_us for event in events]
        details = {
            "log_id": self._log_id,
            "topic": self._config.topic,
            "partition": partition,
            "first_offset": batch.first_offset,
            "last_offset": batch.last_offset,
            "event_at_min": min(at, default=None),
            "event_at_max": max(at, default=None),
        }
        return self._commit(self._events, self._events_schema, columns, len(both), details)

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
        self, partition: int, changed: Sequence[tuple[str, Window]], through: int
    ) -> CommitInfo:
        """Land the newest version of a partition's windows.

        Args:
            partition: The partition.
            changed: Device and window, each once.
            through: Offset of the last record they take into account.

        Raises:
            LakeError: The disk is full or refuses; nothing was landed.
        """
        windows = [window for _, window in changed]
        count = len(windows)
        columns: dict[str, Any] = {
            **self._origin(partition, count),
            "version": [window.version for window in windows],
            "through_offset": _constant(through, pa.int64(), count),
            "device": [name for name, _ in changed],
            "window_start": [window.start for window in windows],
            "window_end": [window.end for window in windows],
            "is_final": [window.is_final for window in windows],
            "event_count": [window.count for window in windows],
            "duplicate_count": [window.duplicates for window in windows],
        }
        for place, measure in enumerate(self._config.measures):
            columns[f"{measure.name}_sum"] = _decimals([window.sums[place] for window in windows])
            columns[f"{measure.name}_min"] = _decimals([window.lows[place] for window in windows])
            columns[f"{measure.name}_max"] = _decimals([window.highs[place] for window in windows])
        details = {
            "log_id": self._log_id,
            "topic": self._config.topic,
            "partition": partition,
            "first_offset": min(window.version for window in windows),
            "last_offset": through,
        }
        return self._commit(self._windows, self._windows_schema, columns, count, details)

    def _origin(self, partition: int, count: int) -> dict[str, pa.Array]:
        return {
            "log_id": _constant(self._log_id, pa.string(), count),
            "topic": _constant(self._config.topic, pa.string(), count),
            "topic_partition": _constant(partition, pa.int32(), count),
        }

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
