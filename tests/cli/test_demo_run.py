"""The demo's order and its failures, with steps and a dbt that only pretend.

The real thing is in ``tests/test_demo.py``.
"""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from support.lake import Root

from demo import DemoContext, DemoStep
from lakehouse import layers
from lakehouse.dbt import build as dbt_build
from lakehouse.errors import LakeError
from lakehouse.publishing.blockers import Blocker
from lakehouse.publishing.publish import hold_back

Log = list[str]

_run_numbers = count(1)


@pytest.fixture
def log(root: Root, monkeypatch: pytest.MonkeyPatch) -> Log:
    """What ran, in order: a layer of three steps and a dbt that publishes what is landed."""
    ran: Log = []

    def step(name: str) -> Callable[[DemoContext], str]:
        def run(context: DemoContext) -> str:
            ran.append(f"{name} scale {context.scale} seed {context.seed}")
            if name == "start":
                context.resources.callback(ran.append, "stop")
            else:
                root.land(2, watermark=f"2026-01-02 03:04:05.00000{len(ran)}+00")
            return f"{name} done"

        return run

    steps = (
        DemoStep("Start", step("start"), "first build"),
        DemoStep("Fill", step("fill"), "first build"),
        DemoStep("Change", step("change"), "second build"),
    )
    monkeypatch.setattr(layers, "call_all", lambda group: ([steps], ()))

    def dbt(settings: object, args: list[str], **_: object) -> int:
        ran.append(f"dbt {' '.join(args)}")
        write_results(root, {"model.l.m": "success", "test.l.t": "pass", "unit_test.l.u": "pass"})
        root.publish(clean=2)
        return 0

    monkeypatch.setattr(dbt_build, "run_dbt", dbt)
    return ran


def write_results(root: Root, statuses: dict[str, str], message: str | None = None) -> None:
    target = root.settings.dbt_dir / "target"
    target.mkdir(parents=True, exist_ok=True)
    document = {
        "metadata": {"invocation_id": f"run {next(_run_numbers)}"},
        "elapsed_time": 1.0,
        "results": [
            {"unique_id": name, "status": status, "message": message, "execution_time": 0.1}
            for name, status in statuses.items()
        ],
    }
    (target / "run_results.json").write_text(json.dumps(document))


def test_the_first_demo_builds_twice_and_the_second_once(lake, log: Log) -> None:
    code, out, err = lake("demo", "--scale", "0.5", "--seed", "7")
    assert code == 0, err
    first = ["start scale 0.5 seed 7", "fill scale 0.5 seed 7", "dbt build"]
    assert log == [*first, "change scale 0.5 seed 7", "dbt build", "stop"]
    log.clear()
    assert lake("demo")[0] == 0
    assert [line.split()[0] for line in log] == ["start", "fill", "change", "dbt", "stop"]
    assert max(map(len, [*out.splitlines(), *err.splitlines()])) <= 80


def test_the_summary_is_what_is_there(lake, root: Root, log: Log) -> None:
    code, out, err = lake("demo", "--json")
    assert code == 0, err
    summary = json.loads(out)
    kept = json.loads((root.settings.state_dir / "demo.json").read_text())
    assert summary == kept
    assert summary["marts"] == {"marts.fct_sales": 3}
    [source] = summary["sources"]
    assert (source["commits"], source["raw_rows"], source["clean_rows"]) == (2, 4, 2)
    assert source["watermark"].startswith("2026-01-02 03:04:05.00000")
    assert (summary["tests_passed"], summary["tests_total"]) == (2, 2)
    assert summary["version"] == json.loads(lake("versions", "--json")[1])[0]["id"]
    assert summary["peak_memory_bytes"] > 1_000_000
    assert len(summary["steps"]) == 5


def test_a_step_that_fails_ends_the_demo_with_its_sentence_and_stops_servers(
    lake, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(context: DemoContext) -> str:
        context.resources.callback(log.append, "stop")
        raise LakeError("the shop burnt down", "build another one")

    steps = (DemoStep("Burn", fails, "first build"),)
    monkeypatch.setattr(layers, "call_all", lambda group: ([steps], ()))
    code, out, err = lake("demo")
    assert (code, out) == (1, "")
    assert err.endswith("Error: the shop burnt down. Next: build another one.\n")
    assert log == ["stop"]


def test_a_red_build_names_the_tests_and_the_log(
    lake, root: Root, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def red(settings: object, args: list[str], **_: object) -> int:
        write_results(
            root, {"test.l.unique_key.ab": "fail", "model.l.m": "skipped"}, "Got 1 result"
        )
        return 1

    monkeypatch.setattr(dbt_build, "run_dbt", red)
    code, _, err = lake("demo")
    last = err.splitlines()[-1]
    assert code == 1
    assert last.startswith("Error: the build failed (unique_key: Got 1 result); dbt's output is in")
    assert "warehouse/build/logs/build-" in last


def test_a_dbt_that_cannot_start_is_quoted_and_old_results_are_not(
    lake, root: Root, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(root, {"test.l.long_ago": "fail"}, "of another run")

    def crashes(
        settings: object, args: list[str], *, on_line: Callable[[str], None], **_: object
    ) -> int:
        for line in ("Running with dbt", "Encountered an error:", "Compilation Error", "  a macro"):
            on_line(line)
        return 2

    monkeypatch.setattr(dbt_build, "run_dbt", crashes)
    code, _, err = lake("demo")
    assert code == 1
    assert "the build failed (Compilation Error a macro)" in err
    assert "long_ago" not in err


def test_a_build_that_is_held_back_is_a_failure(
    lake, root: Root, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(settings: object, args: list[str], **_: object) -> int:
        write_results(root, {"model.l.m": "success"})
        hold_back(root.settings, [Blocker("test.l.t", "fail")])
        return 0

    root.settings.build_dir.mkdir(parents=True)
    monkeypatch.setattr(dbt_build, "run_dbt", held)
    code, _, err = lake("demo")
    assert code == 1
    assert "publishing is held back by t (fail)" in err


def test_a_missing_layer_is_a_sentence(lake, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = layers.BrokenLayer("batch", "demo.batch:steps", "ModuleNotFoundError: no")
    monkeypatch.setattr(layers, "call_all", lambda group: ([], (broken,)))
    code, _, err = lake("demo")
    assert code == 1
    assert "the layer 'batch' (demo.batch:steps) cannot be used" in err


def test_an_unfit_machine_is_told_before_anything_starts(
    lake, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from lakehouse.doctor import machine

    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    code, _, err = lake("demo")
    assert code == 1
    assert "Error: disk: 0.0 GB free" in err
    assert log == []


def test_peak_memory_counts_children(tmp_path: Path) -> None:
    import subprocess
    import sys
    import time

    from demo.memory import PeakMemory

    code = "block = b'x' * 120_000_000; import time; time.sleep(30)"
    with PeakMemory(tmp_path) as memory:
        time.sleep(0.6)
        alone = memory.peak_bytes
        child = subprocess.Popen([sys.executable, "-c", code])
        try:
            while memory.peak_bytes < alone + 110_000_000:
                time.sleep(0.05)
        finally:
            child.kill()
            child.wait()
