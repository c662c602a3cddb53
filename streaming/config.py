"""What a stream is: its topic, its fields, their bounds and how its minutes close.

Here belongs everything in which power and climate differ. No other module names either of them,
so a third stream is one more ``StreamConfig``.
"""

from dataclasses import dataclass

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
MICRO = 1_000_000
"""Measures are counted in millionths: integers add up the same in every order, doubles do not."""


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
        measures: Numbers, aggregated per minute.
        minutes_topic: Topic that gets each final minute.
        dead_letter_topic: Topic that gets each rejected record.
        partitions: Partitions of the topics when we create them.
        grace_us: A minute stays open this much event time of its device after its end.
        idle_us: After a silence this long a device's clock is taken to run on with the broker's,
            so that its last minute closes too.
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
        """Raw table with the minutes' successive versions."""
        return f"{self.name}_windows"


POWER = StreamConfig(
    name="power",
    topic="sensor_topic",
    device_field="device_name",
    time_field="date_time",
    attributes=("city",),
    measures=(Measure("watt", 0, 25_000), Measure("volt", 0, 500), Measure("ampere", 0, 100)),
    minutes_topic="power_minutes",
    dead_letter_topic="power_dead_letters",
)

CLIMATE = StreamConfig(
    name="climate",
    topic="sensor_readings_raw",
    device_field="sensor_id",
    time_field="timestamp",
    attributes=(),
    measures=(
        Measure("temperature", -40, 85),
        Measure("humidity", 0, 100),
        Measure("pressure", 900, 1100),
    ),
    minutes_topic="climate_minutes",
    dead_letter_topic="climate_dead_letters",
)

STREAMS: dict[str, StreamConfig] = {stream.name: stream for stream in (POWER, CLIMATE)}
