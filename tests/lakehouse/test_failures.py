"""The rows that a data test found can be seen, without anybody's lock, until it finds none."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.tiny_project import Tiny

from lakehouse.dbt.failures import MOST_ROWS, kept_failures
from lakehouse.locks import file_lock

LAKE = Path(sys.executable).with_name("lake")
UNIQUE, NOT_NULL = "unique_members_id", "not_null_members_id"


def lake(tiny: Tiny, *arguments: str, fails: bool = False) -> str:
    done = subprocess.run(
        [str(LAKE), *arguments],
        cwd=tiny.settings.root,
        env={"LAKE_ROOT": str(tiny.settings.root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def kept(tiny: Tiny) -> dict[str, tuple[str, int]]:
    return {k.rows.test: (k.rows.status, k.rows.found) for k in kept_failures(tiny.settings)}


@pytest.mark.slow
def test_what_a_test_found_is_kept_shown_and_forgotten(tiny: Tiny) -> None:
    assert lake(tiny, "failures") == "No data test has found a row when it last ran.\n"
    many = range(MOST_ROWS + 5)
    tiny.land(*many, None)
    tiny.land(*many, None)
    tiny.dbt("build", fails=True)
    assert kept(tiny) == {UNIQUE: ("fail", len(many)), NOT_NULL: ("fail", 2)}
    with (
        file_lock(tiny.settings.build_lock, purpose="a build"),
        duckdb.connect(str(tiny.settings.build_file)),
    ):
        listed = lake(tiny, "failures")
        assert f"{len(many):,}" in listed
        assert UNIQUE in listed
        shown = lake(tiny, "failures", "unique", "--limit", "3")
        rows = lake(tiny, "failures", UNIQUE, "--json")
    assert f"{len(many):,} rows, {MOST_ROWS:,} of them kept; 3 shown" in shown
    assert len(json.loads(rows)) == MOST_ROWS
    assert "choose one from" in lake(tiny, "failures", "members", fails=True)

    # A run of one test says nothing about the other.
    tiny.dbt("test", "-s", NOT_NULL, fails=True)
    assert set(kept(tiny)) == {UNIQUE, NOT_NULL}
    with duckdb.connect(str(tiny.settings.build_file)) as connection:
        connection.execute("delete from marts.members where id is null")
    tiny.dbt("test", "-s", NOT_NULL)
    assert set(kept(tiny)) == {UNIQUE}

    models = tiny.settings.dbt_dir / "models" / "tiny.yml"
    models.write_text(models.read_text().replace("[unique, not_null]", "[not_null]"))
    tiny.dbt("build")
    assert kept(tiny) == {}, "the test has gone"


@pytest.mark.parametrize("name", ["no such test", "'; drop table x; --"])
def test_a_name_that_no_test_has_is_one_sentence(tiny: Tiny, name: str) -> None:
    told = lake(tiny, "failures", name, fails=True)
    assert told.count("\n") == 1
    assert told.startswith("Error: no test with rows that it found named like")
