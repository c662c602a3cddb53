"""Fixtures of the command line's tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.lake import LAKE, Root

from lakehouse.cli.main import main
from lakehouse.settings import Settings

Lake = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    for name in [name for name in os.environ if name.startswith(("LAKE_", "DBT_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("LAKE_ROOT", str(folder))
    # As the documentation advises; what is said without it has a test of its own.
    monkeypatch.setenv("PATH", f"{LAKE.parent}{os.pathsep}{os.environ['PATH']}")
    return Root(Settings(root=folder))


@pytest.fixture
def lake(root: Root, capfd: pytest.CaptureFixture[str]) -> Lake:
    """Run a command in this process: its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
