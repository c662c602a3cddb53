"""Landing records and windows as raw commits, one file per topic, partition and checkpoint.

Here belong the Arrow schemas of the raw tables and writing them. Here does not belong when a
checkpoint is due (``checkpoint_pace``) or what is in it (``processor``).
"""

from array import array
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse.raw import CommitInfo, CommitWriter, RawTable, new_batch_id, raw_schema
from streaming.config import StreamConfig
from streaming.records import RecordBatch
from streaming.window_state import PartitionState, Window
from streaming.windows import OUTCOMES, REJECTED

SOURCE = "stream"
WRITER = f"streaming/{version('local-lakehouse')}"
_TIME = pa.timestamp("us", tz="UTC")
_MEASURE = pa.decimal128(18, 6)


def events_schema(config: StreamConfig) -> pa.Schema:
    """Raw schema of a stream's records: where each was, what was decided, what it says.

    ``payload`` holds the original bytes of rejected records, and of those that say more than the
    columns hold. ``watermark_at`` is the device's watermark after the event, which says why a late
    event is late; NULL where that is the event's own time. ``heard_at`` is the partition's clock
    then; NULL where that is the record's own broker timestamp.
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
                ("watermark_at", _TIME),
                ("heard_at", _TIME),
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

    Where it says *identity of the topic* it means what tells this topic from one of the same name
    that was deleted or stood on another broker: their offsets both begin at 0 and mean different
    records.

    Args:
        raw_dir: The raw layer's folder.
        config: The stream.

    Attributes:
        events: The table of records.
        windows: The table of windows.
    """

    def __init__(self, raw_dir: Path, config: StreamConfig) -> None:
        self._config = config
        self.events = RawTable(raw_dir, SOURCE, config.events_table)
        self.windows = RawTable(raw_dir, SOURCE, config.windows_table)
        self._events_schema = events_schema(config)
        self._windows_schema = windows_schema(config)
        self._newest: dict[str, str] = {}

    def land_events(
        self,
        log_id: str,
        partition: int,
        batch: RecordBatch,
        *,
        after_offset: int,
        state: PartitionState,
    ) -> CommitInfo:
        """Land a partition's records; when this returns they survive a crash of the machine.

        The footer says which commit it stands on and what whoever goes on after it needs to know:
        see ``memory``.

        Args:
            log_id: Identity of the topic.
            partition: The partition.
            batch: Its records.
            after_offset: The last offset that landed before; -1 if none did.
            state: What the partition's later records need to know of these.

        Raises:
            LakeError: The disk is full or refuses; nothing was landed.
        """
        rejected, valid = batch.rejected, len(batch.offsets)
        count = valid + len(rejected)
        nothing = pa.nulls(len(rejected))
        at_us, broker_us = _numbers(batch.at_us), _numbers(batch.broker_us)
        codes = pa.array(np.frombuffer(batch.outcomes, dtype=np.int8))
        devices = pa.array(batch.devices, pa.string())
        columns: dict[str, Any] = {
            **self._origin(log_id, partition, count),
            "record_offset": _joined(_numbers(batch.offsets), [r.offset for r in rejected]),
            "broker_at": _joined(broker_us, [r.broker_us for r in rejected], _TIME),
            "outcome": pa.concat_arrays(
                [
                    pa.DictionaryArray.from_arrays(codes, pa.array(OUTCOMES)).cast(pa.string()),
                    _constant(REJECTED, pa.string(), len(rejected)),
                ]
            ),
            "reasons": pa.concat_arrays(
                [
                    pa.nulls(valid, pa.string()),
                    pa.array([",".join(r.reasons) for r in rejected], pa.string()),
                ]
            ),
            "device": pa.concat_arrays([devices, nothing.cast(pa.string())]),
            "event_at": pa.concat_arrays([pa.array(at_us).cast(_TIME), nothing.cast(_TIME)]),
            "watermark_at": _differing(_numbers(batch.watermarks), at_us, len(rejected)),
            "heard_at": _differing(_numbers(batch.heard), broker_us, len(rejected)),
            # A valid event's key is its device.
            "record_key": pa.concat_arrays(
                [devices.cast(pa.binary()), pa.array([r.key for r in rejected], pa.binary())]
            ),
            "payload": _payloads(batch),
        }
        texts = len(self._config.attributes)
        for place, name in enumerate(self._config.attributes):
            said = pa.array(batch.attributes[place::texts], pa.string())
            columns[name] = pa.concat_arrays([said, nothing.cast(pa.string())])
        measured = _numbers(batch.values).reshape(valid, len(self._config.measures))
        for place, measure in enumerate(self._config.measures):
            columns[measure.name] = _decimals(measured[:, place], empty=len(rejected))
        details = {
            "log_id": log_id,
            "topic": self._config.topic,
            "partition": partition,
            "first_offset": batch.first_offset,
            "last_offset": batch.last_offset,
            "after_offset": after_offset,
            "event_at_min": int(at_us.min()) if valid else None,
            "event_at_max": int(at_us.max()) if valid else None,
            "stamped": batch.stamped,
            "open_from": state.open_from,
            "clock": asdict(state.clock),
        }
        return self._commit(self.events, self._events_schema, columns, count, details)

    def land_windows(
        self, log_id: str, partition: int, changed: Sequence[tuple[str, Window]], through: int
    ) -> CommitInfo:
        """Land the newest version of a partition's windows.

        Args:
            log_id: Identity of the topic.
            partition: The partition.
            changed: Device and window, each once.
            through: Offset of the last record they take into account.

        Raises:
            LakeError: The disk is full or refuses; nothing was landed.
        """
        windows = [window for _, window in changed]
        count = len(windows)
        columns: dict[str, Any] = {
            **self._origin(log_id, partition, count),
            "version": [window.version for window in windows],
            "through_offset": _constant(through, pa.int64(), count),
            "device": [name for name, _ in changed],
            "window_start": [window.start for window in windows],
            "window_end": [window.end for window in windows],
            "is_final": [window.is_final for window in windows],
            "event_count": [window.count for window in windows],
            "duplicate_count": [window.duplicates for window in windows],
        }
        numbers = array("q")
        for window in windows:
            numbers.extend(window.numbers)
        told = _numbers(numbers).reshape(count, 3 * len(self._config.measures))
        names = [
            f"{measure.name}_{what}"
            for what in ("sum", "min", "max")
            for measure in self._config.measures
        ]
        for place, name in enumerate(names):
            columns[name] = _decimals(told[:, place])
        details = {
            "log_id": log_id,
            "topic": self._config.topic,
            "partition": partition,
            "first_offset": min(window.version for window in windows),
            "last_offset": through,
        }
        return self._commit(self.windows, self._windows_schema, columns, count, details)

    def _origin(self, log_id: str, partition: int, count: int) -> dict[str, pa.Array]:
        return {
            "log_id": _constant(log_id, pa.string(), count),
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


def _numbers(values: "array[int]") -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.frombuffer(values, dtype=np.int64) if values else np.zeros(0, dtype=np.int64)


def _joined(
    valid: "np.ndarray[Any, np.dtype[np.int64]]",
    rejected: list[int],
    kind: pa.DataType | None = None,
) -> pa.Array:
    whole = pa.array(np.concatenate([valid, np.array(rejected, dtype=np.int64)]))
    return whole.cast(kind) if kind is not None else whole


def _differing(
    values: "np.ndarray[Any, np.dtype[np.int64]]",
    usual: "np.ndarray[Any, np.dtype[np.int64]]",
    empty: int,
) -> pa.Array:
    """Times, NULL where they are the usual ones, then ``empty`` NULLs."""
    told = pa.array(values, mask=values == usual).cast(_TIME)
    return pa.concat_arrays([told, pa.nulls(empty, _TIME)])


def _payloads(batch: RecordBatch) -> pa.Array:
    kept: list[bytes | None] = [None] * len(batch.offsets)
    for place, payload in batch.payloads:
        kept[place] = payload
    return pa.array(kept + [record.payload for record in batch.rejected], pa.binary())


def _decimals(
    millionths: "Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]", empty: int = 0
) -> pa.Array:
    """Decimals from whole millionths, then ``empty`` NULLs, without a Python object per value."""
    count = len(millionths) + empty
    words = np.zeros((count, 2), dtype="<i8")
    words[: len(millionths), 0] = millionths
    words[:, 1] = words[:, 0] >> 63
    present = np.arange(count) < len(millionths)
    mask = pa.py_buffer(np.packbits(present, bitorder="little").tobytes()) if empty else None
    return pa.Array.from_buffers(_MEASURE, count, [mask, pa.py_buffer(words.tobytes())])
