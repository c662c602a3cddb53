"""The first thing a new user does: a clean clone, ``make demo``, and once more.

Slow: it makes the clone's own environment, unless ``LAKE_TEST_VENV`` names one that is installed.
"""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SCALE = "0.05"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "lakehouse"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(folder)], check=True)
    return folder


def make(clone: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("LAKE_", "DBT_", "MAKE", "VIRTUAL_ENV"))
    }
    if environment := os.environ.get("LAKE_TEST_VENV"):
        # The clone's code, not that of the checkout which that environment was installed from.
        kept |= {"VENV": environment, "PYTHONPATH": str(clone)}
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env=kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def environment_of(clone: Path) -> Path:
    return Path(os.environ.get("LAKE_TEST_VENV", str(clone / ".venv"))) / "bin"


def assert_true(clone: Path, summary: dict[str, Any]) -> None:
    """The summary's numbers are those of the published file and of raw."""
    published = clone / "warehouse" / "lakehouse.duckdb"
    with duckdb.connect(str(published), read_only=True) as connection:

        def value(query: str) -> Any:
            row = connection.execute(query).fetchone()
            assert row is not None
            return row[0]

        assert summary["version"] == value("select version_id from lake.version")
        assert summary["marts"] == {
            name: value(f"select count(*) from {name}") for name in summary["marts"]
        }
        assert {f"marts.{n}" for n in ("dim_customer", "dim_product", "dim_campaign")} < set(
            summary["marts"]
        )
        for source in summary["sources"]:
            here = f"source_name = '{source['source']}' and table_name = '{source['table']}'"
            accounting = f"from quarantine.accounting_{source['source']} where {here}"
            assert source["clean_rows"] == value(f"select clean_rows {accounting}")
            assert source["quarantined_rows"] == value(f"select quarantined_rows {accounting}")
            if source["source"] == "shop":
                refused = f"quarantine.quarantine_shop__{source['table']}"
                assert source["quarantined_rows"] == value(f"select count(*) from {refused}")
            files = f"{clone}/data/raw/{source['source']}/{source['table']}/*/*.parquet"
            landed = value(f"select count(*) from read_parquet('{files}', union_by_name = true)")
            mark = value(
                "select arg_max(watermark_after, batch_id) from lake.commits"
                f" where table_name = '{source['table']}' and watermark_after is not null"
            )
            assert source["raw_rows"] == landed
            assert source["watermark"] == mark
            assert source["unpublished_commits"] == 0
    assert summary["tests_passed"] == summary["tests_total"] > 50


def assert_nothing_runs(clone: Path) -> None:
    left = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(clone) in part for part in process.info["cmdline"] or ()):
            left.append(process.info["cmdline"])
    assert left == []


def test_a_clean_clone_gets_a_published_warehouse_and_then_another_day(clone: Path) -> None:
    summaries = []
    for _ in range(2):
        done = make(clone, "demo", f"SCALE={SCALE}")
        assert done.returncode == 0, done.stderr
        summary = json.loads((clone / "data" / "state" / "demo.json").read_text())
        assert_true(clone, summary)
        assert f"version {summary['version']}" in done.stdout
        table = done.stdout.splitlines()
        assert max(map(len, table)) <= 80
        for mart, rows in summary["marts"].items():
            assert any(line.split() == [mart, f"{rows:,}"] for line in table), mart
        assert_nothing_runs(clone)
        summaries.append(summary)
    first, second = summaries
    assert first["version"] < second["version"]
    assert second["marts"]["marts.fct_sales"] > first["marts"]["marts.fct_sales"]
    assert (
        subprocess.run(
            ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
        ).stdout
        == ""
    ), "everything the demo makes is ignored"


def test_an_interrupted_demo_stops_everything_and_the_next_one_goes_on(clone: Path) -> None:
    lake = environment_of(clone) / "lake"
    demo = subprocess.Popen(
        [lake, "demo", "--scale", SCALE],
        cwd=clone,
        env={k: v for k, v in os.environ.items() if not k.startswith(("LAKE_", "DBT_"))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    assert any(line.startswith("Extract what changed") for line in demo.stderr)
    demo.send_signal(signal.SIGINT)
    rest = demo.stderr.read()
    assert demo.wait(timeout=60) == 130
    assert rest.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in rest
    assert_nothing_runs(clone)
    assert make(clone, "demo").returncode == 0


def test_clean_takes_back_what_the_demo_made_and_a_build_makes_it_again(clone: Path) -> None:
    make(clone, "demo", f"SCALE={SCALE}")
    before = json.loads((clone / "data" / "state" / "demo.json").read_text())
    raw = sorted((clone / "data" / "raw").rglob("*.parquet"))
    assert make(clone, "clean", "SCOPE=warehouse").returncode == 0
    assert sorted((clone / "data" / "raw").rglob("*.parquet")) == raw
    assert not (clone / "warehouse" / "lakehouse.duckdb").exists()
    lake = environment_of(clone) / "lake"
    subprocess.run([lake, "build"], cwd=clone, check=True, capture_output=True)
    published = clone / "warehouse" / "lakehouse.duckdb"
    with duckdb.connect(str(published), read_only=True) as connection:
        for mart, rows in before["marts"].items():
            assert connection.execute(f"select count(*) from {mart}").fetchone() == (rows,)
    assert make(clone, "clean", "SCOPE=all").returncode != 0, "raw is deleted only when told"
    assert sorted((clone / "data" / "raw").rglob("*.parquet")) == raw
