"""``--as-of``: the version that was valid at a time, and the id form beside it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.publishing import NoVersionError
from lakehouse.publishing.as_of import end_of, find_version_as_of
from lakehouse.settings import Settings

OLD = "20261120T101631123456Z-3fa9c1"
MORNING = "20261121T080000000000Z-aaaaaa"
EVENING = "20261121T190507900000Z-bbbbbb"
NEW = "20261124T000000000000Z-cccccc"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(root=tmp_path)
    settings.versions_dir.mkdir(parents=True)
    for version in (OLD, MORNING, EVENING, NEW):
        (settings.versions_dir / f"{version}.duckdb").touch()
    return settings


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (MORNING, MORNING),
        ("3fa9c1", OLD),
        ("20261120T10", OLD),
        ("20261121T190507", EVENING),
        ("20261121", EVENING),  # two versions of that day: the one at its end
        ("2026-11-21", EVENING),
        ("2026-11-22", EVENING),
        ("2026-11-20", OLD),
        ("2026-11-21 07:59", OLD),
        ("2026-11-21 08:00", MORNING),
        ("2026-11-21T19", EVENING),
        ("2026-11-21 19:05", EVENING),
        ("2026-11-21 19:05:06", MORNING),
        ("2026-11-21 19:05:07", EVENING),
        ("2026-11-21T19:05:07.899999Z", MORNING),
        ("2026-11-21T19:05:07.900000Z", EVENING),
        ("2026-11-21T21:05+02:00", EVENING),
        ("2026-11-21T20:04+01:00", MORNING),
        ("2026-11-24", NEW),
        ("2031-01-01", NEW),
    ],
)
def test_an_id_or_a_time_chooses_a_version(settings: Settings, text: str, version: str) -> None:
    assert find_version_as_of(settings, text).stem == version


def test_nothing_published_by_then_is_said_with_the_oldest_version(settings: Settings) -> None:
    with pytest.raises(NoVersionError) as raised:
        find_version_as_of(settings, "2026-11-19")
    assert "nothing that is kept was published by 2026-11-19 23:59:59 UTC" in str(raised.value)
    assert OLD in str(raised.value)


@pytest.mark.parametrize("text", ["nonsense", "2026", "202611", "2026-13-01", "Z-"])
def test_what_is_neither_is_refused_with_its_text(settings: Settings, text: str) -> None:
    with pytest.raises(NoVersionError, match=f"named like '{text}'"):
        find_version_as_of(settings, text)


def test_without_a_version_any_time_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NoVersionError, match="nothing has been published yet"):
        find_version_as_of(Settings(root=tmp_path), "2026-11-21")


def test_the_end_of_a_time_is_the_last_instant_of_its_smallest_part() -> None:
    day = datetime(2026, 11, 21, tzinfo=UTC)
    last = timedelta(microseconds=1)
    assert end_of("2026-11-21") == day + timedelta(days=1) - last
    assert end_of("2026-11-21T10") == day + timedelta(hours=11) - last
    assert end_of("20261121T1016") == day + timedelta(hours=10, minutes=17) - last
    assert end_of("2026-11-21T10:16:31.5Z") == day + timedelta(hours=10, minutes=16, seconds=31.5)
    assert end_of("9999-12-31") is None or end_of("9999-12-31") > day
    assert end_of("soon") is None
