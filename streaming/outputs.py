"""What the stream puts on its output topics: a window's value, a dead letter's headers."""

from typing import Any

import orjson

from streaming.config import MICRO, StreamConfig
from streaming.records import RejectedRecord
from streaming.window_state import Window


def window_value(config: StreamConfig, window: Window, *, device: str) -> bytes:
    """A final window as JSON, with the mean of each measure beside what the raw layer has."""
    fields: dict[str, Any] = {
        "device": device,
        "window_start_us": window.start,
        "window_end_us": window.end,
        "event_count": window.count,
        "duplicate_count": window.duplicates,
    }
    for place, measure in enumerate(config.measures):
        fields[f"{measure.name}_sum"] = window.sums[place] / MICRO
        fields[f"{measure.name}_min"] = window.lows[place] / MICRO
        fields[f"{measure.name}_max"] = window.highs[place] / MICRO
        fields[f"{measure.name}_mean"] = window.sums[place] / MICRO / window.count
    return orjson.dumps(fields)


def dead_letter_headers(
    config: StreamConfig, record: RejectedRecord, *, partition: int
) -> dict[str, str | bytes]:
    """Where a rejected record came from and why; its key and value go out as they came."""
    return {
        "stream": config.name,
        "topic": config.topic,
        "partition": str(partition),
        "offset": str(record.offset),
        "reasons": ",".join(record.reasons),
    }
