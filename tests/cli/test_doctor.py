"""``lake doctor``: every kind of trouble is named with its fix, and nothing sound is."""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import psutil
import pytest
from support.checkout import copy_sources
from support.lake import Root, make_package

from lakehouse.doctor import Finding, machine, packages, run_checks, warehouse
from lakehouse.doctor.check import Check
from lakehouse.errors import LakeError
from lakehouse.locks import file_lock

GB = 1_000_000_000


@contextlib.contextmanager
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def assert_problem(found: Finding, *words: str) -> None:
    assert found.outcome == "problem", found
    assert found.next_step
    for word in words:
        assert word in f"{found.text} {found.next_step}", found


def test_a_sound_project_passes_and_exits_with_0(lake, root: Root, monkeypatch) -> None:
    root.publish()
    copy_sources(root.settings.root)
    with busy_port() as port:
        free = port
    monkeypatch.setenv("LAKE_UI_PORT", str(free))
    code, out, err = lake("doctor", "--json")
    found = {line["check"]: line for line in json.loads(out)}
    assert (code, err) == (0, ""), out
    assert {line["outcome"] for line in found.values()} <= {"ok", "skipped", "warning"}
    for name in ("Python", "disk", "memory", "folders", "UI port", "packages", "published file"):
        assert found[name]["outcome"] in ("ok", "warning"), found[name]


def test_a_problem_is_one_line_with_its_next_command(lake, monkeypatch) -> None:
    with busy_port() as port:
        monkeypatch.setenv("LAKE_UI_PORT", str(port))
        code, out, err = lake("doctor")
    assert code == 1
    assert f"UI port: port {port} is in use by " in err
    assert f"(pid {os.getpid()})" in err
    assert [line for line in err.splitlines() if "Next: " not in line] == []
    assert max(map(len, out.splitlines())) <= 80


def test_a_dbt_core_2_beside_ours_is_named_with_version_place_and_fix(
    root: Root, tmp_path: Path
) -> None:
    place = make_package(tmp_path / "other packages", "dbt-core", "2.0.0")
    done = root.lake("doctor", PYTHONPATH=str(place))
    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if line.startswith("dbt: "))
    assert "dbt-core 2.0.0 is installed beside 1.11" in line
    assert str(place) in line
    assert f"Next: take {place} off PYTHONPATH" in line


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole environment."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return folder


def test_dbt_core_missing_too_old_or_twice(root: Root, alone: Path, tmp_path: Path) -> None:
    assert_problem(packages.dbt_core(root.settings), "dbt-core is not installed", "make env")
    make_package(alone, "dbt-core", "1.10.4")
    assert_problem(packages.dbt_core(root.settings), "dbt-core 1.10.4", "make env")


def test_the_same_dbt_core_in_two_places(root: Root, alone: Path, tmp_path: Path) -> None:
    make_package(alone, "dbt-core", "1.11.16")
    assert packages.dbt_core(root.settings).outcome in ("ok", "warning")
    sys.path.append(str(make_package(tmp_path.parent / "second", "dbt_core", "1.11.2")))
    assert_problem(packages.dbt_core(root.settings), "installed 2 times", "1.11.2", "1.11.16")


def test_another_dbt_first_in_path_is_a_warning(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "bin" / "dbt"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:{os.environ['PATH']}")
    found = packages.dbt_core(root.settings)
    assert found.outcome == "warning"
    assert str(other) in found.text


def test_what_differs_from_the_lock_is_named(root: Root, alone: Path) -> None:
    lock = root.settings.root / "requirements.lock"
    lock.write_text(
        "one==1.0 \\\n    --hash=sha256:00\n"
        "two==2.0 ; sys_platform == 'nonsense' \\\n    --hash=sha256:00\n"
        "three-four==3.0 ; python_version >= '3' \\\n    --hash=sha256:00\n"
    )
    make_package(alone, "one", "1.1")
    assert_problem(
        packages.locked(root.settings),
        "one 1.1 instead of 1.0",
        "three-four missing instead of 3.0",
        "make env",
    )
    make_package(alone / "x", "one", "1.0")
    make_package(alone / "x", "Three.Four", "3.0")
    sys.path.insert(0, str(alone / "x"))
    assert packages.locked(root.settings).text == "2 as locked"


def test_a_pair_of_different_releases(root: Root, alone: Path) -> None:
    folder = make_package(alone, "dagster-dbt", "0.29.27")
    metadata = folder / "dagster_dbt-0.29.27.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: dagster==1.13.27\n")
    make_package(alone, "dagster", "1.13.25")
    assert_problem(
        packages.pairs(root.settings), "dagster-dbt 0.29.27 needs dagster==1.13.27", "1.13.25"
    )


@pytest.mark.parametrize(
    ("free", "outcome"), [(GB // 2, "problem"), (3 * GB, "warning"), (50 * GB, "ok")]
)
def test_disk(root: Root, monkeypatch: pytest.MonkeyPatch, free: int, outcome: str) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert machine.disk(root.settings).outcome == outcome


@pytest.mark.parametrize(
    ("available", "outcome"), [(GB // 2, "problem"), (3 * GB // 2, "warning"), (8 * GB, "ok")]
)
def test_memory(root: Root, monkeypatch: pytest.MonkeyPatch, available: int, outcome: str) -> None:
    sizes = SimpleNamespace(available=available, total=16 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: sizes)
    assert machine.memory(root.settings).outcome == outcome


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_python(root: Root, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]) -> None:
    monkeypatch.setattr(machine.sys, "version_info", version)
    assert_problem(machine.python(root.settings), ".".join(map(str, version)), "make env PYTHON=")


def test_a_folder_that_cannot_be_written(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    root.settings.warehouse_dir.mkdir()
    monkeypatch.setattr(Path, "touch", refuse)
    assert_problem(machine.folders(root.settings), "cannot write in", "Permission denied", "ls -ld")


def test_looking_at_folders_leaves_nothing_behind(root: Root) -> None:
    assert machine.folders(root.settings).outcome == "ok"
    assert list(root.settings.root.iterdir()) == []


def test_a_dagster_ui_on_its_port_is_no_problem(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"dagster_version": "1.13.27"}')

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LAKE_UI_PORT", str(server.server_port))
    found = machine.ui_port(root.settings)
    server.shutdown()
    assert found == Finding("ok", f"{server.server_port} serves a Dagster UI")


def test_a_port_that_is_none(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_UI_PORT", "70000")
    [(_, found)] = run_checks(root.settings, [Check("UI port", machine.ui_port)])
    assert_problem(found, "LAKE_UI_PORT='70000' is not a port")


def test_kafka_is_looked_at_only_when_configured(root: Root) -> None:
    from dataclasses import replace

    assert machine.kafka(root.settings).outcome == "skipped"
    with busy_port() as port:
        both = replace(root.settings, kafka_bootstrap=f"127.0.0.1:1,127.0.0.1:{port}")
        assert machine.kafka(both) == Finding("ok", f"127.0.0.1:{port} answers")
    gone = replace(root.settings, kafka_bootstrap=f"127.0.0.1:{port}")
    assert_problem(machine.kafka(gone), f"127.0.0.1:{port}", "make kafka-up")


def test_a_published_file_that_the_client_cannot_open(root: Root) -> None:
    assert warehouse.published(root.settings).outcome == "skipped"
    root.publish()
    assert "opened by client v" in warehouse.published(root.settings).text
    published = root.settings.published_file
    published.chmod(0o644)
    with published.open("r+b") as file:
        # The header that DuckDB reads; the version file is another name of the same bytes, so keep
        # them apart.
        content = file.read()
    published.unlink()
    published.write_bytes(content[:12] + b"\xff" * 8 + content[20:])
    assert_problem(warehouse.published(root.settings), "cannot open", "lake rollback")


def test_a_builder_is_named(root: Root) -> None:
    with file_lock(root.settings.build_lock, purpose="dbt build from a shell"):
        assert "in use by dbt build from a shell" in warehouse.build(root.settings).text


@pytest.mark.parametrize(
    "error", [LakeError("it is broken", "mend it"), RuntimeError("boom"), OSError("gone")]
)
def test_a_check_that_fails_does_not_hide_the_others(root: Root, error: Exception) -> None:
    def fails(settings: object) -> Finding:
        raise error

    looks: list[Callable[..., Finding]] = [fails, lambda settings: Finding("ok", "fine")]
    found = [found for _, found in run_checks(root.settings, [Check("x", f) for f in looks])]
    assert [one.outcome for one in found] == ["problem", "ok"]
