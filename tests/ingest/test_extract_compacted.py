"""Extraction goes on over compacted commits as over those that it landed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.extraction import EVENTS, Source
from support.raw_log import compact_everything

from ingest.postgres.state import checkpoint_path, derive_state
from lakehouse.raw.compact import compact
from lakehouse.raw.verify import set_aside, verify


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    """Six commits, a tombstone and another column among them."""
    source = Source(pg_dsn, tmp_path)
    source.execute(EVENTS, "insert into shop.events select i, 'label' from generate_series(1, 9) i")
    source.extract(chunk_rows=3)
    source.execute("delete from shop.events where id = 2")
    source.extract()
    source.execute(
        "alter table shop.events add column extra int",
        "insert into shop.events values (10, 'new', now(), 1)",
    )
    source.extract()
    return source


def alive(source: Source) -> list[int]:
    """The live keys, read as a reader of files does: each row once."""
    import duckdb

    with duckdb.connect() as db:
        rows = db.execute(
            "select id from (select * from read_parquet(?, union_by_name = true)"
            " qualify row_number() over (partition by id order by _batch_id desc) = 1)"
            " where _op = 'upsert' order by id",
            [source.raw().files()],
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("keep", [True, False], ids=["beside the originals", "alone"])
def test_state_and_footers_are_the_same_and_an_idle_run_stays_idle(
    source: Source, keep: bool
) -> None:
    state, footers = derive_state(source.raw()), [i.to_json() for i in source.infos()]
    compact_everything(source.settings.raw_dir, keep_replaced=keep)
    assert derive_state(source.raw()) == state
    assert [info.to_json() for info in source.infos()] == footers
    checkpoint = checkpoint_path(source.settings.state_dir, source.specs[0])
    files = {path: path.stat().st_mtime_ns for path in source.raw().directory.rglob("*.parquet")}
    before = checkpoint.read_bytes()
    assert source.extract().rows == 0
    checkpoint.unlink()
    assert source.extract().rows == 0
    assert checkpoint.read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in source.raw().directory.rglob("*.parquet")} == files
    assert [found.problem for found in verify(source.settings.raw_dir) if found.problem] == []


@pytest.mark.parametrize("keep", [True, False], ids=["beside the originals", "alone"])
def test_only_what_changed_is_landed_after_a_compaction(source: Source, keep: bool) -> None:
    compact_everything(source.settings.raw_dir, keep_replaced=keep)
    source.execute(
        "update shop.events set label = 'changed', updated_at = now() where id in (3, 4)",
        "delete from shop.events where id = 5",
        "insert into shop.events values (2, 'back', now(), 2)",
    )
    report = source.extract()
    assert (report.upserts, report.deletes) == (3, 1)
    assert alive(source) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert source.extract().rows == 0
    full = source.extract(full=True)
    assert full.rows == 0, "a full read finds every row landed"
    assert [found.problem for found in verify(source.settings.raw_dir) if found.problem] == []


def test_what_a_compacted_file_held_is_landed_again_when_it_is_set_aside(source: Source) -> None:
    compact(source.raw(), now=datetime.now(UTC) + timedelta(days=1))
    compact(source.raw(), grace=timedelta(seconds=-1))
    expected = alive(source)
    made = sorted(source.raw().directory.rglob("compacted-*.parquet"))
    set_aside(source.settings.raw_dir, made[0].stem)
    assert alive(source) != expected
    source.extract()
    assert alive(source) == expected
    assert [found.problem for found in verify(source.settings.raw_dir) if found.problem] == []


def test_a_commit_that_was_deleted_is_named_and_extraction_lands_it_again(source: Source) -> None:
    expected = alive(source)
    gone = source.raw().commits()[1]
    gone.unlink()
    (found,) = [found for found in verify(source.settings.raw_dir) if found.problem]
    assert gone.stem in str(found.problem)
    assert "lake extract events" in str(found.problem)
    source.extract()
    assert alive(source) == expected
    assert [found.problem for found in verify(source.settings.raw_dir) if found.problem] == []
