"""What the stream puts on its output topics: a window's value, a dead letter."""

from dataclasses import dataclass
from typing import Any

import orjson

from streaming.config import MICRO, StreamConfig
from streaming.records import RejectedRecord
from streaming.window_state import Window

MAX_DEAD_LETTER_BYTES = 768 << 10
"""A broker that nobody has configured takes messages of 1 MB, headers included."""
MAX_KEY_BYTES = 64 << 10


def window_value(config: StreamConfig, window: Window, *, device: str) -> bytes:
    """A final window as JSON, with the mean of each measure beside what the raw layer has."""
    fields: dict[str, Any] = {
        "device": device,
        "window_start_us": window.start,
        "window_end_us": window.end,
        "event_count": window.count,
        "duplicate_count": window.duplicates,
    }
    numbers = zip(config.measures, window.sums, window.lows, window.highs, strict=True)
    for measure, total, low, high in numbers:
        fields[f"{measure.name}_sum"] = total / MICRO
        fields[f"{measure.name}_min"] = low / MICRO
        fields[f"{measure.name}_max"] = high / MICRO
        fields[f"{measure.name}_mean"] = total / MICRO / window.count
    return orjson.dumps(fields)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected record as it goes out.

    Attributes:
        key: Its key; None if it is longer than any broker would take beside a value.
        value: Its value, or the head of it.
        headers: Where it came from and why it is here; ``bytes`` says how long the value was if
            only its head goes out.
    """

    key: bytes | None
    value: bytes | None
    headers: dict[str, str | bytes]

    def shortened(self, most: int) -> "DeadLetter":
        """The same with at most so many bytes of its value."""
        if self.value is None or len(self.value) <= most:
            return self
        whole = self.headers.get("bytes", str(len(self.value)))
        return DeadLetter(self.key, self.value[:most], {**self.headers, "bytes": whole})


def dead_letter(config: StreamConfig, record: RejectedRecord, *, partition: int) -> DeadLetter:
    """A rejected record with its origin and reasons; key and value go out as they came.

    What is larger than a broker takes by default goes out by its head; raw keeps all of it.
    """
    headers: dict[str, str | bytes] = {
        "stream": config.name,
        "topic": config.topic,
        "partition": str(partition),
        "offset": str(record.offset),
        "reasons": ",".join(record.reasons),
    }
    key = record.key if record.key is None or len(record.key) <= MAX_KEY_BYTES else None
    return DeadLetter(key, record.payload, headers).shortened(MAX_DEAD_LETTER_BYTES)
