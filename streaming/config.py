"""What a stream is: its topics, its fields, their bounds and how its windows close.

The streams are declared once, under ``vars: streams:`` in ``dbt_project/dbt_project.yml``, where
the models read them too. Here belongs reading and checking that declaration, and what is the same
for all streams. No code depends on their names: only the demo invents readings for some.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from lakehouse.errors import LakeError
from lakehouse.settings import Settings

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
MICRO = 1_000_000
"""Measures are counted in millionths: integers add up the same in every order, doubles do not."""
RECORD_COLUMNS = (
    *("log_id", "topic", "topic_partition", "record_offset", "broker_at", "outcome", "reasons"),
    *("device", "event_at", "watermark_at", "heard_at", "record_key", "payload"),
)
"""Columns of every raw record, so no names for attributes and measures."""

_LIMIT = 10**12
_COLUMN = re.compile(r"[a-z][a-z0-9_]*")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that every event carries.

    Attributes:
        name: Its field in the event and its column everywhere else.
        low: Smallest plausible value.
        high: Largest plausible value.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """One stream of sensor readings.

    Attributes:
        name: Prefix of its raw tables and models.
        topic: Kafka topic it is read from; its records are keyed by device.
        device_field: Field that names the device.
        time_field: Field with the event time, ISO 8601; without an offset it means UTC.
        attributes: Text fields carried along, never NULL, not aggregated.
        measures: Numbers, aggregated per window.
        minutes_topic: Topic that gets each window once it is final.
        dead_letter_topic: Topic that gets each rejected record.
        partitions: Partitions of the topics when we create them.
        grace_us: A window stays open this much event time of its device after its end.
        idle_us: After a silence this long a device's watermark is taken to run on with the
            broker's clock, so that its last window closes too.
        max_ahead_us: An event time further ahead of its record's broker timestamp is rejected.
        max_behind_us: An event time further behind it is rejected.
        max_bytes: A longer message is rejected unread.
    """

    name: str
    topic: str
    device_field: str
    time_field: str
    attributes: tuple[str, ...]
    measures: tuple[Measure, ...]
    minutes_topic: str
    dead_letter_topic: str
    partitions: int = 4
    grace_us: int = 10 * SECOND_US
    idle_us: int = 15 * SECOND_US
    max_ahead_us: int = 5 * MINUTE_US
    max_behind_us: int = 366 * 24 * 60 * MINUTE_US
    max_bytes: int = 64 * 1024

    @property
    def events_table(self) -> str:
        """Raw table with one row per record of the topic."""
        return f"{self.name}_events"

    @property
    def windows_table(self) -> str:
        """Raw table with the windows' successive versions."""
        return f"{self.name}_windows"


def load_streams(settings: Settings) -> dict[str, StreamConfig]:
    """The declared streams by name, in the order of their declaration.

    Args:
        settings: The project.

    Raises:
        LakeError: The declaration cannot be read, or something in it is wrong.
    """
    path = settings.dbt_dir / "dbt_project.yml"
    try:
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LakeError(
            f"{path} cannot be read: {error.strerror}",
            "run this in the checkout, or set LAKE_ROOT to it",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LakeError(f"{path} is no YAML: {error}".replace("\n", " "), "correct it") from error
    variables = project.get("vars") if isinstance(project, dict) else None
    declared = _mapping("vars", variables).get("streams")
    streams = {
        name: _stream(name, fields) for name, fields in _mapping("streams", declared).items()
    }
    topics = [t for s in streams.values() for t in (s.topic, s.minutes_topic, s.dead_letter_topic)]
    _no_name_twice("streams", topics, "topics")
    return streams


def _stream(name: Any, content: Any) -> StreamConfig:
    where = f"streams.{name}"
    _column(where, name)
    fields = _mapping(where, content)
    texts = ("topic", "minutes_topic", "dead_letter_topic", "device_field", "time_field")
    keys = {*texts, "attributes", "measures"}
    for key in [*fields, *sorted(keys)]:
        if key not in keys:
            raise _mistake(f"{where} has the unknown key {key!r}")
        if key not in fields:
            raise _mistake(f"{where} lacks {key!r}")
    for key in texts:
        if not isinstance(fields[key], str) or not fields[key]:
            raise _mistake(f"{where}.{key} is no text")
        if key.endswith("topic") and not _TOPIC.fullmatch(fields[key]):
            raise _mistake(f"{where}.{key} {fields[key]!r} is no name that Kafka takes")
    attributes = fields["attributes"]
    if not isinstance(attributes, list):
        raise _mistake(f"{where}.attributes is no list of column names")
    for attribute in attributes:
        _column(f"{where}.attributes", attribute)
    measures = _mapping(f"{where}.measures", fields["measures"])
    names = [fields["device_field"], fields["time_field"], *attributes, *measures]
    _no_name_twice(where, names, "fields")
    return StreamConfig(
        name=name,
        **{key: fields[key] for key in texts},
        attributes=tuple(attributes),
        measures=tuple(
            _measure(f"{where}.measures", measure, bounds) for measure, bounds in measures.items()
        ),
    )


def _measure(where: str, name: Any, content: Any) -> Measure:
    _column(where, name)
    where = f"{where}.{name}"
    bounds = _mapping(where, content)
    if set(bounds) != {"min", "max"}:
        raise _mistake(f"{where} needs min and max, nothing else")
    low, high = bounds["min"], bounds["max"]
    if type(low) not in (int, float) or type(high) not in (int, float) or not low < high:
        raise _mistake(f"{where} needs a min that is a number below its max")
    if not -_LIMIT < low < high < _LIMIT:
        raise _mistake(f"{where} has bounds that decimal(18, 6) does not hold")
    return Measure(name, low, high)


def _mapping(where: str, content: Any) -> dict[Any, Any]:
    if not isinstance(content, dict) or not content:
        raise _mistake(f"{where} is missing or no mapping")
    return content


def _column(where: str, name: Any) -> None:
    if not isinstance(name, str) or not _COLUMN.fullmatch(name):
        raise _mistake(f"{where}: {name!r} is no name for a column (small letters, digits, _)")
    if name in RECORD_COLUMNS:
        raise _mistake(f"{where}: every record has a column {name!r} already")


def _no_name_twice(where: str, names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _mistake(f"{where} names {name!r} twice among its {what}")
        seen.add(name)


def _mistake(cause: str) -> LakeError:
    return LakeError(
        f"the declaration of the streams is wrong: {cause}",
        "correct `vars: streams:` in dbt_project/dbt_project.yml",
    )
