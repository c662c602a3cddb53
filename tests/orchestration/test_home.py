"""Dagster's home, the port of the UI, and what ``lake ui`` says before Dagster is there."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import typer
from typer.testing import CliRunner

from lakehouse.errors import LakeError
from lakehouse.locks import FileLock
from lakehouse.settings import Settings
from orchestration.cli import register
from orchestration.dagster_home import prepare_home
from orchestration.ui import UiError, require_free_port


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_dagster_accepts_the_home_and_keeps_to_it(tmp_path: Path) -> None:
    home = prepare_home(Settings(root=tmp_path))
    assert home == tmp_path / "data" / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        assert instance.root_directory == str(home)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_an_old_home_is_brought_up_to_date_and_keeps_its_runs(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    home = prepare_home(settings)
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    (home / "history").mkdir()
    (home / "history" / "runs.db").write_text("kept")
    prepare_home(settings)
    assert "enabled: false" in (home / "dagster.yaml").read_text()
    assert (home / "history" / "runs.db").read_text() == "kept"


def test_a_busy_port_names_its_holder_and_the_next_command(busy_port: int) -> None:
    with pytest.raises(UiError) as error:
        require_free_port(busy_port)
    said = str(error.value)
    assert f"port {busy_port} on 127.0.0.1 is in use by " in said
    assert f"lake ui --port {busy_port + 1}" in said
    assert "\n" not in said


def test_the_command_refuses_a_busy_port_and_a_second_ui(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()
    register(app)
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("LAKE_UI_PORT", str(busy_port))
    result = CliRunner().invoke(app, [])
    assert isinstance(result.exception, UiError)

    lock = FileLock(
        tmp_path / "data/dagster/ui.lock", purpose=f"lake ui --port {busy_port}"
    ).acquire()
    result = CliRunner().invoke(app, [])
    lock.release()
    assert isinstance(result.exception, LakeError)
    assert f"`lake ui --port {busy_port}` is starting or stopping (pid " in str(result.exception)


def test_the_command_line_does_not_import_dagster() -> None:
    """It would make every ``lake`` command seconds slower."""
    code = "import sys, orchestration.cli, orchestration.ui; print('dagster' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "False"
