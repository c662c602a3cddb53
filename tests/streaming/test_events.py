"""Reading records: every byte string is an event or has reasons, and none raises."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stream.declared import CLIMATE, POWER

from streaming.config import StreamConfig
from streaming.events import Event, decoder, parse_time

NOON = parse_time("2026-03-01T12:00:00Z")
GOOD: dict[str, Any] = {
    "device_name": "meter-1",
    "city": "Oslo",
    "watt": 1150.5,
    "volt": 230,
    "ampere": 5.0,
    "date_time": "2026-03-01 12:00:00.250",
}


def read(fields: object, key: bytes | None = b"meter-1", broker_us: int = NOON) -> Any:
    value = fields if isinstance(fields, bytes | None) else orjson.dumps(fields)
    return decoder(POWER)(value, key, broker_us)


def test_a_good_reading_is_an_event_in_millionths() -> None:
    assert read(GOOD) == Event(
        "meter-1", NOON + 250_000, (1_150_500_000, 230_000_000, 5_000_000), ("Oslo",), False
    )


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"device_name": None}, ("missing_device_name",)),
        ({"device_name": 7}, ("bad_device_name",)),
        ({"device_name": "x" * 129}, ("bad_device_name",)),
        ({"device_name": "other"}, ("key_is_not_device",)),
        ({"date_time": None}, ("missing_date_time",)),
        ({"date_time": "noon"}, ("bad_date_time",)),
        ({"date_time": 1772366400}, ("bad_date_time",)),
        ({"date_time": "2026-03-03T12:00:00Z"}, ("time_in_the_future",)),
        ({"date_time": "1999-03-01T12:00:00Z"}, ("time_too_far_back",)),
        ({"watt": -1}, ("watt_out_of_range",)),
        ({"watt": "12"}, ("bad_watt",)),
        ({"watt": True}, ("bad_watt",)),
        ({"volt": None, "ampere": 900}, ("missing_volt", "ampere_out_of_range")),
        ({"city": 5}, ("bad_city",)),
        ({"schema_version": 2, "watt": "x"}, ("unknown_schema_version",)),
    ],
)
def test_all_reasons_are_named(change: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert read(GOOD | change) == reasons


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        (None, ("empty_value",)),
        (b"", ("not_json",)),
        (b"\xff\x00garbage", ("not_json",)),
        (b"[" * 100_000, ("too_large",)),
        (b"[" * 60_000, ("not_json",)),
        (b"[1]", ("not_object",)),
        (b"5" * (5 << 20), ("too_large",)),
    ],
)
def test_bytes_that_are_no_reading(value: bytes | None, reasons: tuple[str, ...]) -> None:
    assert read(value) == reasons


def test_a_record_without_key_is_rejected() -> None:
    assert read(GOOD, key=None) == ("missing_key",)


def test_bounds_are_taken_from_the_brokers_timestamp_not_from_our_clock() -> None:
    ahead = POWER.max_ahead_us
    at = NOON + 250_000
    assert isinstance(read(GOOD, broker_us=at - ahead), Event)
    assert read(GOOD, broker_us=at - ahead - 1) == ("time_in_the_future",)


@pytest.mark.parametrize("change", [{"firmware": "2.1"}, {"watt": 0.123456789}])
def test_what_columns_cannot_hold_keeps_the_original_bytes(change: dict[str, Any]) -> None:
    assert read(GOOD | change).keep_payload


def test_the_known_schema_version_is_no_unknown_field() -> None:
    assert not read(GOOD | {"schema_version": 1}).keep_payload


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T13:30:00+01:30", "2026-03-01T12:00:00Z"),
    ],
)
def test_times_without_offset_are_utc(text: str, same: str) -> None:
    assert parse_time(text) == parse_time(same)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(width=64) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_fields = st.sampled_from(
    ["device_name", "sensor_id", "city", "watt", "volt", "ampere", "date_time", "schema_version"]
)


@given(
    value=st.binary() | st.dictionaries(_fields, _json).map(orjson.dumps) | st.none(),
    key=st.none() | st.binary(),
    broker_us=st.integers(0, 4_102_444_800_000_000),
    config=st.sampled_from([POWER, CLIMATE]),
)
def test_nothing_raises(
    value: bytes | None, key: bytes | None, broker_us: int, config: StreamConfig
) -> None:
    read = decoder(config)(value, key, broker_us)
    assert isinstance(read, Event) or (read and all(type(reason) is str for reason in read))
