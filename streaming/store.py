"""One partition's open minutes in Quix's state store.

Minutes are counted in memory and written to the store once a checkpoint: reading and writing them
at each event would be most of the work. The store, its changelog topic and the recovery from it are
Quix's. Here does not belong what is in a minute.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import orjson

from streaming.config import StreamConfig
from streaming.state import FORMAT, decode_device, encode_device
from streaming.windows import PartitionWindows

_log = logging.getLogger(__name__)

_CLOCK = b"clock"
_DEVICES = b"devices"
_PREFIX = b""


class Transaction(Protocol):
    """What is needed of Quix's transaction on a partition of a store."""

    def get_bytes(self, key: bytes, prefix: bytes) -> bytes | None:
        """The value of a key."""

    def set_bytes(self, key: bytes, value: bytes, prefix: bytes) -> None:
        """Set the value of a key."""


class WindowStore:
    """Loads and saves one partition's minutes.

    Args:
        config: The stream.
        log_id: State of another log of the same name is ignored.
    """

    def __init__(self, config: StreamConfig, log_id: str) -> None:
        self._config = config
        self._log_id = log_id
        self._saved_devices = 0
        self._through = -1

    def load(self, transaction: Transaction, has_landed: Callable[[int], bool]) -> PartitionWindows:
        """Read what the last checkpoint left; empty if there was none, or of another log.

        Args:
            transaction: Of the partition.
            has_landed: Whether the raw layer holds the records up to an offset. If not, they are in
                another raw layer, or were removed with it: minutes begun with them would contradict
                every recount here.
        """
        windows = PartitionWindows(self._config)
        clock = transaction.get_bytes(_CLOCK, _PREFIX)
        if clock is None:
            return windows
        form, log_id, *rest = orjson.loads(clock)
        if (form, log_id) != (FORMAT, self._log_id):
            return windows
        broker_us, through = rest
        if not has_landed(through):
            _log.warning("the open minutes of %s begin anew: raw does not hold theirs", log_id)
            return windows
        self._through = through
        windows.broker_us = broker_us
        names: list[str] = orjson.loads(transaction.get_bytes(_DEVICES, _PREFIX) or b"[]")
        for name in names:
            data = transaction.get_bytes(_key(name), _PREFIX)
            if data is not None and (device := decode_device(data)) is not None:
                device.next_close = windows.next_close_of(device)
                windows.devices[name] = device
        self._saved_devices = len(windows.devices)
        return windows

    def save(self, transaction: Transaction, windows: PartitionWindows, through: int) -> None:
        """Write what has changed since the last time.

        Args:
            transaction: Of the partition.
            windows: Its minutes.
            through: Offset of the last record in them that has landed; -1 if none was read.
        """
        self._through = max(self._through, through)
        for name in windows.touched:
            transaction.set_bytes(_key(name), encode_device(windows.devices[name]), _PREFIX)
        windows.touched.clear()
        if len(windows.devices) != self._saved_devices:
            self._saved_devices = len(windows.devices)
            transaction.set_bytes(_DEVICES, orjson.dumps(list(windows.devices)), _PREFIX)
        clock = orjson.dumps([FORMAT, self._log_id, windows.broker_us, self._through])
        transaction.set_bytes(_CLOCK, clock, _PREFIX)


def _key(name: str) -> bytes:
    return b"device:" + name.encode()
