"""``lake clean``: each scope removes what it says, and raw never goes unsaid."""

import os
import subprocess
from pathlib import Path

import pytest
from support.lake import LAKE, Root

from lakehouse.locks import file_lock


@pytest.fixture
def filled(root: Root) -> Root:
    root.land(3)
    root.publish()
    for name in ("dbt_project/target/manifest.json", "data/dagster/runs.db", "data/README.md"):
        path = root.settings.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (root.settings.warehouse_dir / "README.md").write_text("x")
    return root


def files(root: Root) -> set[str]:
    """What there is, without locks: they stay, because others may be waiting on them."""
    return {
        str(path.relative_to(root.settings.root))
        for path in root.settings.root.rglob("*")
        if path.is_file() and not path.name.endswith("lock")
    }


def test_build_removes_what_the_next_build_makes_again(lake, filled: Root) -> None:
    before = files(filled)
    code, out, _ = lake("clean")
    assert code == 0
    gone = before - files(filled)
    assert gone == {"dbt_project/target/manifest.json", "warehouse/build/lakehouse.duckdb"}
    assert "raw" not in out
    assert lake("sql", "--csv", "select count(*) as n from marts.fct_sales")[1] == "n\n3\n"
    assert lake("clean") == (0, "There is nothing to remove.\n", "")


def test_warehouse_also_removes_versions_but_never_raw(lake, filled: Root) -> None:
    assert lake("clean", "warehouse", "--yes")[0] == 0
    kept = files(filled)
    assert not [name for name in kept if name.startswith("warehouse") and "README" not in name]
    assert len([name for name in kept if name.startswith("data/raw")]) == 1
    assert {"data/README.md", "warehouse/README.md", "data/dagster/runs.db"} <= kept


def test_all_says_that_raw_goes_and_asks(root: Root, filled: Root) -> None:
    before = files(filled)
    asked = root.lake("clean", "all")
    assert asked.returncode == 1
    assert "data/raw" in asked.stdout
    assert "1 files" in asked.stdout
    assert "RAW: cannot be brought back" in asked.stdout
    assert files(filled) == before, "nobody said yes"
    answered = subprocess.run(
        [str(LAKE), "clean", "all"],
        env=root.environment,
        input="n\n",
        capture_output=True,
        text=True,
    )
    assert answered.returncode == 1
    assert files(filled) == before
    assert root.lake("clean", "all", "--yes").returncode == 0
    assert files(filled) == {"data/README.md", "warehouse/README.md"}


@pytest.mark.parametrize("scope", ["build", "warehouse", "all"])
def test_nothing_is_removed_while_somebody_builds(lake, filled: Root, scope: str) -> None:
    before = files(filled)
    with file_lock(filled.settings.build_lock, purpose="dbt build from a shell"):
        code, _, err = lake("clean", scope, "--yes")
    assert code == 1
    assert "already running: dbt build from a shell" in err
    assert files(filled) == before


def test_raw_is_not_removed_under_an_extraction(lake, filled: Root) -> None:
    lock = filled.settings.raw_locks_dir / "extract.shop.customers.lock"
    with file_lock(lock, purpose="lake extract shop.customers"):
        code, _, err = lake("clean", "all", "--yes")
    assert code == 1
    assert "lake extract shop.customers" in err
    assert filled.settings.raw_dir.exists()


def test_raw_is_not_removed_under_a_running_server(lake, filled: Root) -> None:
    note = filled.settings.postgres_dir / "cluster" / "postmaster.pid"
    note.parent.mkdir(parents=True)
    note.write_text(f"{os.getpid()}\n/somewhere\n")
    code, _, err = lake("clean", "all", "--yes")
    assert code == 1
    assert f"the embedded PostgreSQL is running (pid {os.getpid()})" in err
    assert filled.settings.raw_dir.exists()


def test_an_unknown_scope_is_refused(lake) -> None:
    code, _, err = lake("clean", "raw")
    assert code == 1
    assert "choose from build, warehouse, all" in err


def test_links_are_removed_and_not_followed(lake, filled: Root, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (filled.settings.data_dir / "link").symlink_to(outside, target_is_directory=True)
    assert lake("clean", "all", "--yes")[0] == 0
    assert (outside / "precious").exists()
