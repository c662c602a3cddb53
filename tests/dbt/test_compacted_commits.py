"""Builds and compaction: whichever files a build reads, every commit is read once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from support.raw_log import flip_a_bit
from support.tiny_project import Tiny, make_tiny

from lakehouse.dbt import freeze, run_notes
from lakehouse.dbt.green import nothing_to_build
from lakehouse.raw import RawFileError
from lakehouse.raw.compact import compact
from lakehouse.raw.names import COMPACTED_PREFIX
from lakehouse.settings import Settings

AT_ONCE = timedelta(seconds=-1)
"""A grace period that is over."""


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(Settings(root=tmp_path / "root"))


def pack(tiny: Tiny, *, keep: bool = True) -> None:
    """Compact as if today were over, and remove what was replaced."""
    compact(tiny.table, now=datetime.now(UTC) + timedelta(days=1))
    if not keep:
        compact(tiny.table, grace=AT_ONCE)


def ids(tiny: Tiny, table: str = "marts.members") -> list[int]:
    with duckdb.connect(str(tiny.settings.build_file), read_only=True) as db:
        return [row[0] for row in db.execute(f"select id from {table} order by id").fetchall()]


@pytest.mark.slow
@pytest.mark.guard
def test_builds_read_each_commit_once_wherever_it_stands(tiny: Tiny) -> None:
    tiny.land(1, 2)
    tiny.land(3)
    assert "published version" in tiny.dbt("build")
    tiny.land(4)
    pack(tiny)  # the file holds what was consumed and what was not, beside its originals
    tiny.dbt("build")
    assert ids(tiny) == ids(tiny, "base.base_customers") == [1, 2, 3, 4]
    assert nothing_to_build(tiny.settings), "compaction alone is nothing to build"

    tiny.land(5)
    tiny.land(6)
    pack(tiny, keep=False)  # the file of the last build has gone, too
    assert "2 new raw commits" in tiny.dbt("build")
    assert ids(tiny) == ids(tiny, "base.base_customers") == [1, 2, 3, 4, 5, 6]

    pack(tiny, keep=False)
    tiny.dbt("build", "--full-refresh")
    assert ids(tiny) == ids(tiny, "base.base_customers") == [1, 2, 3, 4, 5, 6]


def frozen(tiny: Tiny, db: duckdb.DuckDBPyConnection, *, full: bool = False) -> int:
    run = run_notes.begin_run(db, "code")
    return freeze.freeze_commits(
        db, tiny.settings.raw_dir, [("shop", "customers")], run, is_full_refresh=full
    )


def noted(db: duckdb.DuckDBPyConnection) -> list[tuple[str, str, bool, int, bool]]:
    return db.execute(
        "select batch_id, path, is_compacted, run, is_present from ops.commits order by batch_id"
    ).fetchall()


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    run_notes.ensure_tables(connection)
    return connection


def test_the_freeze_follows_commits_to_their_files_and_takes_none_for_new_twice(
    tiny: Tiny, db: duckdb.DuckDBPyConnection
) -> None:
    first = [tiny.land(n) for n in range(3)]
    assert frozen(tiny, db) == 3
    paths = [row[1] for row in noted(db)]
    assert paths == [path.relative_to(tiny.settings.raw_dir).as_posix() for path in first]
    third = tiny.land(9)
    pack(tiny)
    assert all((tiny.settings.raw_dir / path).exists() for path in paths), "a running build reads"
    assert frozen(tiny, db) == 1
    rows = noted(db)
    assert [row[3] for row in rows] == [1, 1, 1, 2]
    assert {(row[2], row[4]) for row in rows} == {(True, True)}
    assert len({row[1] for row in rows}) == 1
    pack(tiny, keep=False)
    assert frozen(tiny, db) == 0
    assert noted(db) == rows
    aside = (tiny.settings.raw_dir / rows[0][1]).rename(tiny.settings.raw_dir / "aside")
    assert frozen(tiny, db) == 0
    assert {row[4] for row in noted(db)} == {False}
    aside.rename(tiny.settings.raw_dir / rows[0][1])
    assert frozen(tiny, db) == 0
    assert noted(db) == rows
    assert third.stem == rows[3][0]


def test_a_file_is_proven_before_a_build_reads_it_for_the_first_time(
    tiny: Tiny, db: duckdb.DuckDBPyConnection
) -> None:
    for n in range(3):
        tiny.land(n)
    frozen(tiny, db)
    before = noted(db)
    pack(tiny)
    (made,) = tiny.table.directory.glob(f"*/{COMPACTED_PREFIX}*")
    flip_a_bit(made)
    with pytest.raises(RawFileError, match=made.stem):
        frozen(tiny, db)
    assert noted(db) == before, "nothing is noted"


def test_what_is_as_it_was_noted_is_not_looked_at(
    tiny: Tiny, db: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.land(1)
    frozen(tiny, db)
    monkeypatch.setattr(freeze, "_prove", lambda *args, **options: pytest.fail("looked"))
    assert frozen(tiny, db) == 0


def test_a_full_refresh_proves_every_file_again(tiny: Tiny, db: duckdb.DuckDBPyConnection) -> None:
    path = tiny.land(*range(1000))
    frozen(tiny, db)
    flip_a_bit(path)
    assert frozen(tiny, db) == 0
    with pytest.raises(RawFileError):
        frozen(tiny, db, full=True)


def test_a_model_lags_behind_the_newest_run_that_saw_a_commit_that_is_there(
    tiny: Tiny, db: duckdb.DuckDBPyConnection
) -> None:
    tiny.land(1)
    frozen(tiny, db)
    last = tiny.land(2)
    frozen(tiny, db)
    newest = "select newest_run from ops.listings"
    assert db.execute(newest).fetchall() == [(2,)]
    last.unlink()
    frozen(tiny, db)
    assert db.execute(newest).fetchall() == [(1,)]
