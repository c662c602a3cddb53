"""The command line as a whole: helps, exit codes, sentences, layers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from support.lake import LAKE, Root, make_package

from lakehouse import __version__
from lakehouse.cli import here
from lakehouse.cli import main as entry

KERNEL = ["demo", "doctor", "build", "failures", "versions", "rollback", "sql", "status", "clean"]
BATCH = ["seed", "simulate-day", "extract", "raw verify", "raw set-aside"]
HEAVY = ("duckdb", "pyarrow", "rich", "dbt", "dagster", "faker", "psycopg", "adbc_driver_manager")


def every_command() -> list[str]:
    """The commands of all layers, those of groups with the group's name before."""

    def walk(name: str, command: Any) -> list[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return [name]
        return [path for key in inner for path in walk(f"{name} {key}".strip(), inner[key])]

    return walk("", typer.main.get_command(entry.build_app()))


def test_the_promised_commands_are_there() -> None:
    assert set(every_command()) >= {*KERNEL, *BATCH}


@pytest.mark.parametrize("command", every_command())
def test_each_command_has_a_help_with_an_example_in_80_columns(lake, command: str) -> None:
    code, out, _ = lake(*command.split(), "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"lake {command}" in out.split("Examples:")[1]
    assert max(map(len, out.splitlines())) <= 80


def test_the_overview_says_every_command_in_a_whole_sentence(lake) -> None:
    code, out, _ = lake("--help")
    assert code == 0
    assert "..." not in out.split("Commands:")[1], "a summary was cut off"
    for command in every_command():
        assert f"\n  {command.split()[0]} " in out
    assert max(map(len, out.splitlines())) <= 80


def test_help_and_version_import_nothing_heavy() -> None:
    for argument in ("--help", "--version"):
        code = (
            "import sys; from lakehouse.cli.main import main\n"
            f"main(['{argument}'])\n"
            f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stderr.strip() == "[]", argument


def test_version(lake) -> None:
    assert lake("--version") == (0, f"lake {__version__} (Python {sys.version.split()[0]})\n", "")


def test_wrong_usage_exits_with_2(lake) -> None:
    code, _, err = lake("nonsense")
    assert code == 2
    assert "No such command 'nonsense'" in err


def test_a_failure_is_one_sentence_on_standard_error(root: Root) -> None:
    done = root.lake("versions")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "Error: nothing has been published yet. Next: run `make demo` or `lake build`.\n"
    )


def test_a_setting_that_cannot_be_used_is_a_sentence(root: Root) -> None:
    done = root.lake("status", LAKE_KEEP_VERSIONS="many")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: LAKE_KEEP_VERSIONS='many' is not a whole number")
    assert done.stderr.count("\n") == 1


def test_the_env_file_speaks_for_every_option_unless_the_environment_does(root: Root) -> None:
    (root.settings.root / ".env").write_text("LAKE_UI_PORT=70001\nOTHER=1\n")
    assert "LAKE_UI_PORT='70001' is not a port" in root.lake("doctor").stderr
    assert "70002" in root.lake("doctor", LAKE_UI_PORT="70002").stderr


def test_a_full_disk_is_a_sentence(lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("lakehouse.cli.warehouse.load_settings", full)
    code, _, err = lake("versions")
    assert code == 1
    assert err == "Error: No space left on device: /somewhere. Next: run `lake doctor`.\n"


def test_ctrl_c_ends_with_130_and_no_trace(lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lakehouse.cli.warehouse.load_settings", interrupted)
    assert lake("versions") == (entry.INTERRUPTED, "", "Interrupted.\n")


def test_a_reader_that_closes_the_pipe_is_no_error(root: Root) -> None:
    root.publish({"marts.fct_sales": 200_000})
    command = f"'{LAKE}' sql --csv 'from marts.fct_sales' | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=root.environment, capture_output=True, text=True
    )
    assert done.stdout == "id\n"
    assert "Traceback" not in done.stderr


def test_a_layer_that_cannot_be_imported_costs_its_own_commands_only(
    root: Root, tmp_path: Path
) -> None:
    broken = "[lakehouse.commands]\nbroken = no_such_module:register\n"
    path = make_package(tmp_path / "packages", "broken-layer", "1.0", broken)
    help_ = root.lake("--help", PYTHONPATH=str(path))
    assert help_.returncode == 0
    assert "extract" in help_.stdout, "the others are still there"
    assert "the layer 'broken' (no_such_module:register) cannot be used" in help_.stdout
    doctor = root.lake("doctor", PYTHONPATH=str(path))
    assert doctor.returncode == 1
    assert "layer broken: the layer 'broken'" in doctor.stderr


def test_hints_name_commands_as_they_work_where_the_user_stands(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = root.lake("versions").stderr
    assert "run `make demo` or `lake build`" in found
    # As after `make demo`: .venv/bin is not in PATH, or another lake is before it.
    assert f"or `{LAKE.parent}/lake build`" in root.lake("versions", PATH="/usr/bin:/bin").stderr
    other = tmp_path / "bin"
    other.mkdir()
    (other / "lake").touch(0o755)
    assert f"or `{LAKE.parent}/lake build`" in root.lake("versions", PATH=str(other)).stderr
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(LAKE.parent.parent.parent)
    assert here.command("lake sql") == f"{LAKE.relative_to(Path.cwd())} sql"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete_commands_and_options(root: Root, shell: str) -> None:
    shown = root.lake("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.returncode == 0, shown.stderr
    assert "_LAKE_COMPLETE" in shown.stdout


def test_completion_offers_what_there_is(root: Root) -> None:
    asked = {"_LAKE_COMPLETE": "complete_bash", "COMP_WORDS": "lake ro", "COMP_CWORD": "1"}
    assert root.lake(**asked).stdout.split() == ["rollback"]
    asked |= {"COMP_WORDS": "lake build --f"}
    assert root.lake(**{**asked, "COMP_CWORD": "2"}).stdout.split() == ["--force"]
