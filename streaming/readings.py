"""Invented readings, with dirt and the truth about it; the same seed gives the same readings.

Here belongs what is sent. How and when is in ``producer``.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from streaming.config import CLIMATE, MINUTE_US, POWER, SECOND_US, StreamConfig

GOOD = "good"
DUPLICATE = "duplicate"
LATE = "late"
_CITIES = ("Oslo", "Lyon", "Porto", "Graz", "Ghent", "Turku")
_DAY_US = 24 * 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Dirt:
    """Share of each kind of dirt, 0 to 1.

    Attributes:
        duplicate: Sent twice.
        late: Stamped 10 to 60 minutes back.
        missing_time: Without its time.
        missing_device: Without its device.
        out_of_range: With an impossible measure.
        garbage: Bytes that are no JSON.
        future: From a clock two days ahead.
        no_key: Without a key.
    """

    duplicate: float = 0.01
    late: float = 0.02
    missing_time: float = 0.02
    missing_device: float = 0.01
    out_of_range: float = 0.03
    garbage: float = 0.002
    future: float = 0.001
    no_key: float = 0.001


CLEAN = Dirt(*[0.0] * len(fields(Dirt)))


class Reading(NamedTuple):
    """One message.

    Attributes:
        kind: ``good``, or the kind of dirt, a field of ``Dirt``.
        key: Kafka key.
        value: Kafka value.
        device: The device meant.
        at_us: The event time meant, microseconds since 1970 UTC.
        due_us: When it is sent, in event time.
    """

    kind: str
    key: bytes | None
    value: bytes
    device: str
    at_us: int
    due_us: int


def _power(chance: random.Random, device: int) -> dict[str, Any]:
    volt = round(chance.uniform(218, 242), 1)
    ampere = round(chance.uniform(0.2, 16), 3)
    city = _CITIES[device % len(_CITIES)]
    return {"city": city, "watt": round(volt * ampere, 3), "volt": volt, "ampere": ampere}


def _climate(chance: random.Random, _: int) -> dict[str, Any]:
    return {
        "temperature": round(chance.gauss(21, 4), 2),
        "humidity": round(chance.uniform(25, 75), 1),
        "pressure": round(chance.gauss(1013, 6), 1),
    }


MAKERS: dict[str, Callable[[random.Random, int], dict[str, Any]]] = {
    POWER.name: _power,
    CLIMATE.name: _climate,
}


def readings(
    config: StreamConfig,
    *,
    seed: int,
    start_us: int,
    rate: float,
    devices: int,
    dirt: Dirt = CLEAN,
) -> Iterator[Reading]:
    """Readings without end, in the order they are sent.

    Args:
        config: The stream.
        seed: The same seed gives the same readings.
        start_us: Event time of the first, microseconds since 1970 UTC.
        rate: Readings per second of event time, over all devices.
        devices: How many devices take turns.
        dirt: What goes wrong how often.
    """
    chance = random.Random(f"{config.name}-{seed}")  # noqa: S311 - test data, not secrets
    make = MAKERS[config.name]
    kinds = [field.name for field in fields(Dirt)]
    shares = [getattr(dirt, kind) for kind in kinds]
    kinds.append(GOOD)
    shares.append(1 - sum(shares))
    step = SECOND_US / rate
    turn = 0
    while True:
        number = turn % devices
        device = f"{config.name}-{number:03d}"
        due = start_us + int(turn * step)
        turn += 1
        kind = chance.choices(kinds, shares)[0]
        at = due - chance.randint(10, 60) * MINUTE_US if kind == LATE else due
        values = make(chance, number)
        key, value = _message(config, kind, device, at, values, chance)
        reading = Reading(kind, key, value, device, at, due)
        if kind == DUPLICATE:
            yield reading._replace(kind=GOOD)
        yield reading


def _message(
    config: StreamConfig,
    kind: str,
    device: str,
    at_us: int,
    values: dict[str, Any],
    chance: random.Random,
) -> tuple[bytes | None, bytes]:
    stamp = at_us + 2 * _DAY_US if kind == "future" else at_us
    moment = datetime.fromtimestamp(stamp // SECOND_US, UTC).replace(microsecond=stamp % SECOND_US)
    message = {config.device_field: device, config.time_field: moment.isoformat(), **values}
    if kind == "missing_time":
        del message[config.time_field]
    elif kind == "missing_device":
        del message[config.device_field]
    elif kind == "out_of_range":
        measure = chance.choice(config.measures)
        message[measure.name] = measure.high + chance.randint(1, 1000)
    value = chance.randbytes(20) + b"\xff" if kind == "garbage" else orjson.dumps(message)
    return None if kind == "no_key" else device.encode(), value
