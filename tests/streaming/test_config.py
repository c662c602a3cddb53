"""The declaration of the streams: what is read from it, and a sentence for each mistake in it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.stream.declared import POWER, STREAMS

from lakehouse.errors import LakeError
from lakehouse.settings import Settings
from streaming.config import RECORD_COLUMNS, Measure, StreamConfig, load_streams
from streaming.landing import events_schema

WIND: dict[str, Any] = {
    "topic": "wind_readings",
    "minutes_topic": "wind_minutes",
    "dead_letter_topic": "wind_dead_letters",
    "device_field": "mast",
    "time_field": "taken_at",
    "attributes": ["site", "owner"],
    "measures": {"speed": {"min": 0, "max": 75.5}, "bearing": {"min": 0, "max": 360}},
}


def declare(root: Path, content: object) -> Settings:
    (root / "dbt_project").mkdir(exist_ok=True)
    (root / "dbt_project" / "dbt_project.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Settings(root=root)


def declared(root: Path, **streams: object) -> Settings:
    return declare(root, {"vars": {"streams": streams}})


def test_a_stream_is_read_as_it_is_declared(tmp_path: Path) -> None:
    assert load_streams(declared(tmp_path, wind=WIND)) == {
        "wind": StreamConfig(
            name="wind",
            topic="wind_readings",
            minutes_topic="wind_minutes",
            dead_letter_topic="wind_dead_letters",
            device_field="mast",
            time_field="taken_at",
            attributes=("site", "owner"),
            measures=(Measure("speed", 0, 75.5), Measure("bearing", 0, 360)),
        )
    }


def test_the_streams_of_this_project() -> None:
    assert {name: (s.topic, s.device_field, s.time_field) for name, s in STREAMS.items()} == {
        "power": ("sensor_topic", "device_name", "date_time"),
        "climate": ("sensor_readings_raw", "sensor_id", "timestamp"),
    }
    assert [m.name for s in STREAMS.values() for m in s.measures] == [
        *("watt", "volt", "ampere"),
        *("temperature", "humidity", "pressure"),
    ]


def test_the_names_that_are_taken_are_the_other_columns_of_a_record() -> None:
    ours = {*POWER.attributes, *(measure.name for measure in POWER.measures)}
    every = events_schema(POWER).names
    assert {name for name in every if not name.startswith("_")} == {*RECORD_COLUMNS} | ours


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"topic": None}, "streams.wind.topic is no text"),
        ({"topic": "wind readings"}, "'wind readings' is no name that Kafka takes"),
        ({"colour": "blue"}, "streams.wind has the unknown key 'colour'"),
        ({"attributes": "site"}, "streams.wind.attributes is no list of column names"),
        ({"attributes": ["Site"]}, "'Site' is no name for a column"),
        ({"attributes": ["device"]}, "every record has a column 'device' already"),
        ({"attributes": ["speed"]}, "streams.wind names 'speed' twice among its fields"),
        ({"minutes_topic": "wind_readings"}, "names 'wind_readings' twice among its topics"),
        ({"measures": {}}, "streams.wind.measures is missing or no mapping"),
        ({"measures": ["speed"]}, "streams.wind.measures is missing or no mapping"),
        ({"measures": {"speed": {"min": 0}}}, "streams.wind.measures.speed needs min and max"),
        ({"measures": {"speed": {"min": 5, "max": 5}}}, "a min that is a number below its max"),
        ({"measures": {"speed": {"min": "0", "max": 5}}}, "a min that is a number below its max"),
        ({"measures": {"speed": {"min": 0, "max": 10**12}}}, "decimal"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    settings = declared(tmp_path, wind=WIND | change)
    with pytest.raises(LakeError) as caught:
        load_streams(settings)
    assert sentence in caught.value.cause
    assert "vars: streams:" in caught.value.next_step


@pytest.mark.parametrize("key", sorted(WIND))
def test_a_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    less = {name: value for name, value in WIND.items() if name != key}
    with pytest.raises(LakeError, match=f"streams.wind lacks '{key}'"):
        load_streams(declared(tmp_path, wind=less))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "vars is missing or no mapping"),
        ({"vars": {"x": 1}}, "streams is missing or no mapping"),
        ({"vars": {"streams": {"Wind": WIND}}}, "'Wind' is no name for a column"),
        ({"vars": {"streams": {"wind": None}}}, "streams.wind is missing or no mapping"),
    ],
)
def test_a_project_without_streams_is_said(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(LakeError, match=sentence):
        load_streams(declare(tmp_path, content))


def test_a_place_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="LAKE_ROOT"):
        load_streams(Settings(root=tmp_path))


def test_a_file_that_is_no_yaml_is_named_in_one_line(tmp_path: Path) -> None:
    settings = declared(tmp_path, wind=WIND)
    (settings.dbt_dir / "dbt_project.yml").write_text("vars: [")
    with pytest.raises(LakeError, match="is no YAML") as caught:
        load_streams(settings)
    assert "\n" not in str(caught.value)
