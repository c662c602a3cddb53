"""Which database is read: the configured one, the contributed one, or a sentence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse import layers
from lakehouse.errors import LakeError
from lakehouse.settings import Settings
from lakehouse.source import (
    DefaultSource,
    fill_source,
    source_absence,
    source_dsn,
    source_name,
)

OWN = "postgresql://reader:secret@db.example/shop"


@contextmanager
def opened(settings: Settings) -> Iterator[str]:
    yield "postgresql:///contributed"


def contributed() -> DefaultSource:
    def fill(settings: Settings, on_line: Callable[[str], None]) -> str:
        on_line("filling")
        return "filled"

    return DefaultSource(name="a default", open=opened, absence=lambda settings: None, fill=fill)


def contribute(monkeypatch: pytest.MonkeyPatch, found: layers.Contributions) -> list[str]:
    asked: list[str] = []

    def load(group: str) -> layers.Contributions:
        asked.append(group)
        return found

    monkeypatch.setattr(layers, "load", load)
    return asked


def test_the_configured_database_is_taken_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = contribute(monkeypatch, layers.Contributions((contributed,), ()))
    settings, lines = Settings(root=tmp_path, source_dsn=OWN), list[str]()
    with source_dsn(settings) as dsn:
        assert dsn == OWN
    assert source_name(settings) == "at LAKE_SOURCE_DSN"
    assert source_absence(settings) is None
    assert fill_source(settings, lines.append) is None, "a database of the user's is never filled"
    assert (asked, lines) == ([], [])


def test_without_one_the_contributed_database_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contribute(monkeypatch, layers.Contributions((contributed,), ()))
    settings, lines = Settings(root=tmp_path), list[str]()
    with source_dsn(settings) as dsn:
        assert dsn == "postgresql:///contributed"
    assert source_name(settings) == "a default"
    assert fill_source(settings, lines.append) == "filled"
    assert lines == ["filling"]


def test_with_neither_one_sentence_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = layers.BrokenLayer("demo", "demo.database:default_source", "ImportError: no")
    for found, cause in (
        (layers.Contributions((), ()), "no database to extract from is named"),
        (layers.Contributions((), (broken,)), "the layer 'demo' (.*) cannot be used"),
    ):
        contribute(monkeypatch, found)
        with (
            pytest.raises(LakeError, match=cause) as error,
            source_dsn(Settings(root=tmp_path)),
        ):
            pass
        assert "LAKE_SOURCE_DSN" in error.value.next_step
