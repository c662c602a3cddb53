"""Reading a file of recorded readings, to be replayed at another speed.

Here belongs reading the file and moving its times. Producing them is in ``producer``.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from lakehouse.errors import LakeError
from streaming.config import SECOND_US, StreamConfig
from streaming.events import parse_time
from streaming.producer import Message


def _fields(path: Path, config: StreamConfig) -> Iterator[tuple[int, str, dict[str, Any]]]:
    with path.open("rb") as lines:
        for line in lines:
            try:
                fields = orjson.loads(line)
                yield parse_time(fields[config.time_field]), fields[config.device_field], fields
            except (ValueError, KeyError, TypeError, OverflowError):
                continue


def span(path: Path, config: StreamConfig) -> tuple[int, int, int]:
    """First and last event time (microseconds since 1970 UTC) and number of a file's readings.

    Raises:
        LakeError: It holds no reading of this stream.
    """
    first = last = count = 0
    for at_us, _, _ in _fields(path, config):
        first = at_us if not count else min(first, at_us)
        last = at_us if not count else max(last, at_us)
        count += 1
    if not count:
        raise LakeError(
            f"{path} holds no readings of {config.name}",
            f"give a file with one JSON object a line, with {config.device_field!r} and "
            f"{config.time_field!r}, or name the right stream",
        )
    return first, last, count


def recorded(
    path: Path, config: StreamConfig, *, speed: float, now_us: int, keep_times: bool
) -> Iterator[Message]:
    """The readings of a file with one JSON object a line, as messages for the topic.

    Args:
        path: The file; lines that are no reading of this stream are left out.
        config: The stream.
        speed: Event seconds per second; 0 is as fast as possible.
        now_us: When producing begins, microseconds since 1970 UTC.
        keep_times: Leave the recorded times. Otherwise all are moved by the same amount, so that
            the last reading is as old as if it had just been taken when it is produced.
    """
    first, last, _ = span(path, config)
    shift = 0 if keep_times else now_us - last + int((last - first) / speed if speed else 0)
    if 0 < speed < 1:
        # Slower than recorded, the first would be ahead of the broker's clock: it sets the shift.
        shift = 0 if keep_times else now_us - first
    for at_us, device, fields in _fields(path, config):
        if shift:
            moment = datetime.fromtimestamp((at_us + shift) // SECOND_US, UTC)
            moment = moment.replace(microsecond=(at_us + shift) % SECOND_US)
            fields = {**fields, config.time_field: moment.isoformat()}
        due = at_us + shift
        yield Message("recorded", str(device).encode(), orjson.dumps(fields), device, due, due)
