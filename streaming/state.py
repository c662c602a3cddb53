"""A device's open minutes as bytes, and back: what the state store keeps.

Here belongs the encoding. When it is written and read is in ``store``.
"""

from array import array
from base64 import b64decode, b64encode

import orjson

from streaming.windows import Device, Window

FORMAT = 2
"""Raise it when the encoding or the meaning of a window changes: older state is then ignored and
the open minutes are counted again from the topic, or from raw by dbt."""


def encode_device(device: Device) -> bytes:
    """The bytes of a device's clock and open minutes."""
    windows = [
        [
            window.start,
            window.count,
            window.duplicates,
            window.sums,
            window.lows,
            window.highs,
            window.version,
            window.told,
            b64encode(array("I", sorted(window.seen)).tobytes()).decode(),
        ]
        for window in device.windows.values()
    ]
    return orjson.dumps([FORMAT, device.clock, device.heard, windows])


def decode_device(data: bytes) -> Device | None:
    """A device from its bytes, without ``next_close``; None if another format wrote them.

    Raises:
        ValueError: They are damaged.
    """
    fields = orjson.loads(data)
    if fields[0] != FORMAT:
        return None
    _, clock, heard, rows = fields
    device = Device(clock, heard)
    for start, count, duplicates, sums, lows, highs, version, told, seen in rows:
        window = Window(start)
        window.count, window.duplicates = count, duplicates
        window.sums, window.lows, window.highs = sums, lows, highs
        window.version, window.told = version, told
        window.seen = set(array("I", b64decode(seen)))
        device.windows[start] = window
    return device
