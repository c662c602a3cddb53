"""Invented readings, with dirt and the truth about it; the same seed gives the same readings.

Here belongs what is produced. How and when is in ``streaming.producer``.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import orjson

from lakehouse.errors import LakeError
from streaming.config import MINUTE_US, SECOND_US, StreamConfig
from streaming.producer import Addressed, Message

GOOD = "good"
DUPLICATE = "duplicate"
LATE = "late"
_CITIES = ("Oslo", "Lyon", "Porto", "Graz", "Ghent", "Turku")
_DAY_US = 24 * 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Dirt:
    """Share of each kind of dirt, 0 to 1.

    Attributes:
        duplicate: Produced twice.
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


@dataclass(frozen=True, slots=True)
class Sensor:
    """How readings of a stream are invented.

    Attributes:
        make: A device's next values, from a source of chance and the device's number.
        rate: Usual readings per second, over all devices.
    """

    make: Callable[[random.Random, int], dict[str, Any]]
    rate: float


SENSORS = {"power": Sensor(_power, 1.0), "climate": Sensor(_climate, 10.0)}
"""By the name of the stream that they are for."""


def readings(
    config: StreamConfig,
    *,
    seed: int,
    start_us: int,
    rate: float,
    devices: int,
    dirt: Dirt = CLEAN,
) -> Iterator[Message]:
    """Readings without end, in the order of their due times.

    Args:
        config: The stream.
        seed: The same seed gives the same readings.
        start_us: Event time of the first, microseconds since 1970 UTC.
        rate: Readings per second of event time, over all devices.
        devices: How many devices take turns.
        dirt: What goes wrong how often.

    Raises:
        LakeError: Nobody knows how to invent readings of this stream.
    """
    # Not a generator itself: what is wrong is said at the call.
    return _readings(_sensor(config), config, seed, start_us, rate, devices, dirt)


def _sensor(config: StreamConfig) -> Sensor:
    if config.name not in SENSORS:
        raise LakeError(
            f"the demo cannot invent readings of {config.name}",
            f"name one of {', '.join(SENSORS)}, or produce your own",
        )
    return SENSORS[config.name]


def _readings(
    sensor: Sensor,
    config: StreamConfig,
    seed: int,
    start_us: int,
    rate: float,
    devices: int,
    dirt: Dirt,
) -> Iterator[Message]:
    chance = random.Random(f"{config.name}-{seed}")  # noqa: S311 - test data, not secrets
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
        values = sensor.make(chance, number)
        key, value = _message(config, kind, device, at, values, chance)
        message = Message(kind, key, value, device, at, due)
        if kind == DUPLICATE:
            yield message._replace(kind=GOOD)
        yield message


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
    reading = {config.device_field: device, config.time_field: moment.isoformat(), **values}
    if kind == "missing_time":
        del reading[config.time_field]
    elif kind == "missing_device":
        del reading[config.device_field]
    elif kind == "out_of_range":
        measure = chance.choice(config.measures)
        reading[measure.name] = measure.high + chance.randint(1, 1000)
    value = chance.randbytes(20) + b"\xff" if kind == "garbage" else orjson.dumps(reading)
    return None if kind == "no_key" else device.encode(), value


def of_streams(
    streams: Iterable[StreamConfig],
    *,
    seed: int,
    start_us: int,
    end_us: int | None = None,
    rate: float | None = None,
    devices: int = 3,
    dirt: Dirt = CLEAN,
) -> Iterator[Addressed]:
    """Several streams' readings in the order of their due times.

    Args:
        streams: The streams.
        seed: The same seed gives the same readings.
        start_us: Event time of the first, microseconds since 1970 UTC.
        end_us: Only those that are due before; None for no end.
        rate: Readings per second of each stream; None for the usual of each.
        devices: How many devices of each stream take turns.
        dirt: What goes wrong how often.

    Raises:
        LakeError: Nobody knows how to invent readings of one of them.
    """
    sources = [
        (
            stream,
            readings(
                stream,
                seed=seed,
                start_us=start_us,
                rate=rate or _sensor(stream).rate,
                devices=devices,
                dirt=dirt,
            ),
        )
        for stream in streams
    ]
    messages = interleave(sources)
    if end_us is None:
        return messages
    return takewhile(lambda addressed: addressed[1].due_us < end_us, messages)


def interleave(sources: Iterable[tuple[StreamConfig, Iterator[Message]]]) -> Iterator[Addressed]:
    """Several streams' messages in the order of their due times."""
    heads = [(config, rest, next(rest)) for config, rest in sources]
    while heads:
        place = min(range(len(heads)), key=lambda n: heads[n][2].due_us)
        config, rest, message = heads[place]
        yield config, message
        following = next(rest, None)
        if following is None:
            del heads[place]
        else:
            heads[place] = (config, rest, following)
