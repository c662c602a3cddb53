"""Fixtures of the kernel's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiny_project import Tiny, make_tiny

from lakehouse.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path / "root", keep_versions=3)


@pytest.fixture
def tiny(settings: Settings) -> Tiny:
    return make_tiny(settings)


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, folders count as unchanged for long, so that listings are kept."""
    return lambda: monkeypatch.setattr("lakehouse.raw.listing._SETTLED_NS", -1)
