"""Compaction: fewer files, the same commits, whatever happens meanwhile."""

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.mortal import Mortal
from support.raw_log import (
    SCHEMA,
    TODAY,
    WIDER,
    YESTERDAY,
    data_files,
    flip_a_bit,
    land,
    land_many,
    picture,
    rows,
)

from lakehouse.errors import LakeError
from lakehouse.locks import LockHeldError, file_lock
from lakehouse.raw import RawFileError, RawTable
from lakehouse.raw import compact as compacting
from lakehouse.raw.compact import ENOUGH, SIZES, SmallFile, choose, compact, tables_named
from lakehouse.raw.listing import list_commits, listing_cache
from lakehouse.raw.names import COMPACTED_PREFIX
from lakehouse.raw.verify import set_aside, verify

LATER = timedelta(seconds=-1)
"""A grace period that is over at once: the clock of a test is not that of the files' names."""


@pytest.fixture
def table(tmp_path: Path) -> RawTable:
    return RawTable(tmp_path / "raw", "shop", "customers")


def compacted(table: RawTable) -> list[Path]:
    return [path for path in data_files(table) if path.stem.startswith(COMPACTED_PREFIX)]


def problems(table: RawTable) -> list[LakeError]:
    return [found.problem for found in verify(table.raw_dir) if found.problem]


def test_a_day_that_is_over_becomes_one_file_and_every_commit_stays_what_it_was(
    table: RawTable,
) -> None:
    land(table, YESTERDAY, [1, 2, 3], deletes=1)
    land_many(table, YESTERDAY + timedelta(hours=1), 4)
    land_many(table, TODAY, 3)
    before, ids, paths = picture(table), table.batch_ids(), table.commits()
    account = compact(table, now=TODAY)
    assert (account.replaced, account.made, account.commits, account.rows) == (5, 1, 5, 7)
    assert (account.removed, account.waiting, account.problems) == (0, 5, [])
    assert (picture(table), table.batch_ids(), table.commits()) == (before, ids, paths)
    (made,) = compacted(table)
    assert made.parent.name == f"load_date={YESTERDAY:%Y-%m-%d}"
    assert pq.ParquetFile(made).num_row_groups == 1
    assert problems(table) == []


def test_replaced_files_go_when_their_time_is_over_and_nothing_else_changes(
    table: RawTable,
) -> None:
    land_many(table, YESTERDAY, 4)
    before = picture(table)
    compact(table, now=TODAY)
    assert len(data_files(table)) == 5
    assert compact(table, grace=timedelta(hours=1)).removed == 0, "the grace period is not over"
    assert compact(table, grace=LATER, may_remove=False).removed == 0, "a build is running"
    account = compact(table, grace=LATER)
    assert (account.removed, account.waiting, account.replaced) == (4, 0, 0)
    assert data_files(table) == compacted(table)
    assert picture(table) == before
    assert [table.read(path).to_json() for path in table.commits()] == before[0]
    assert problems(table) == []


def test_a_second_run_finds_nothing_to_do(table: RawTable) -> None:
    land_many(table, YESTERDAY, 3)
    compact(table, now=TODAY)
    compact(table, grace=LATER)
    files = {path: path.stat().st_mtime_ns for path in data_files(table)}
    assert compact(table, grace=LATER).is_idle
    assert {path: path.stat().st_mtime_ns for path in data_files(table)} == files


def test_commits_with_other_columns_never_share_a_file(table: RawTable) -> None:
    for n in range(6):
        land(table, YESTERDAY + timedelta(minutes=n), [n], schema=WIDER if n % 2 else SCHEMA)
    before = picture(table)
    assert compact(table, now=TODAY).made == 2
    compact(table, grace=LATER)
    assert picture(table) == before
    assert {len(pq.read_schema(path)) for path in compacted(table)} == {len(SCHEMA), len(WIDER)}
    assert problems(table) == []


def test_a_commit_that_appears_late_among_compacted_ones_is_seen_and_joins_them(
    table: RawTable,
) -> None:
    land_many(table, YESTERDAY, 4)
    compact(table, now=TODAY)
    late = land(table, YESTERDAY + timedelta(seconds=90), [99])
    assert late in table.batch_ids()
    before = picture(table)
    account = compact(table, now=TODAY)
    assert (account.replaced, account.made) == (2, 1)
    assert picture(table) == before
    compact(table, grace=LATER)
    assert len(data_files(table)) == 1
    assert picture(table) == before


def test_of_today_only_enough_files_of_one_size_are_compacted(table: RawTable) -> None:
    land_many(table, TODAY, ENOUGH - 1)
    assert compact(table, now=TODAY).is_idle
    land_many(table, TODAY + timedelta(hours=1), 1)
    before = picture(table)
    assert compact(table, now=TODAY).replaced == ENOUGH
    assert compact(table, now=TODAY).replaced == 0
    assert picture(table) == before


def test_a_row_is_written_again_at_most_once_a_class_of_size() -> None:
    """A day of one file every five seconds, compacted every ten minutes."""
    files: dict[Path, int] = {}
    sizes: dict[Path, int] = {}
    most = written = 0
    for n in range(17_280):
        files[Path(str(n))], sizes[Path(str(n))] = 6_000, 1
        if n % 120 == 119:
            small = [SmallFile(p, s, sizes[p]) for p, s in files.items() if s <= SIZES[-1]]
            for group in choose(small, is_over=False):
                written += sum(sizes[file.path] for file in group)
                path = Path(f"c{n}.{len(files)}")
                for file in group:
                    del files[file.path]
                files[path] = sum(file.size for file in group)
                sizes[path] = sum(file.commits for file in group)
            most = max(most, len(files))
    assert sum(sizes[path] for path in files) == 17_280
    assert most + 120 <= 300, "and so many come before the next run"
    assert written <= len(SIZES) * 17_280


def test_a_damaged_file_is_named_left_as_it_is_and_the_others_are_compacted(
    table: RawTable,
) -> None:
    ids = land_many(table, YESTERDAY, 5)
    damaged = table.path_of(ids[2])
    content = flip_a_bit(damaged)
    nonsense = table.path_of(ids[3])
    nonsense.write_bytes(b"nonsense")
    account = compact(table, now=TODAY)
    assert account.replaced == 3
    assert {p.path for p in account.problems if isinstance(p, RawFileError)} == {damaged, nonsense}
    assert damaged.read_bytes() == content
    compact(table, grace=LATER)
    assert {damaged, nonsense} < {*data_files(table)}
    assert len(data_files(table)) == 3


def test_what_is_set_aside_is_neither_compacted_nor_removed(table: RawTable) -> None:
    ids = land_many(table, YESTERDAY, 4)
    aside = set_aside(table.raw_dir, ids[1])
    compact(table, now=TODAY)
    compact(table, grace=LATER)
    assert ids[1] not in table.batch_ids()
    assert aside.exists()


def test_replaced_files_stay_when_what_replaced_them_is_damaged(table: RawTable) -> None:
    land_many(table, YESTERDAY, 4)
    before = picture(table)
    compact(table, now=TODAY)
    (made,) = compacted(table)
    flip_a_bit(made)
    account = compact(table, grace=LATER)
    assert (account.removed, account.waiting) == (0, 4)
    assert [type(problem) for problem in account.problems] == [RawFileError]
    assert f"lake raw set-aside {made.stem}" in str(account.problems[0])
    set_aside(table.raw_dir, made.stem)
    assert picture(table) == before, "the files that it replaced speak again"


def test_a_commit_in_a_shared_file_is_not_set_aside_alone(table: RawTable) -> None:
    ids = land_many(table, YESTERDAY, 3)
    compact(table, now=TODAY)
    compact(table, grace=LATER)
    (made,) = compacted(table)
    with pytest.raises(LakeError, match=f"lake raw set-aside {made.stem}"):
        set_aside(table.raw_dir, ids[0])
    set_aside(table.raw_dir, made.stem)
    assert table.batch_ids() == ()


@pytest.mark.parametrize("name", ["*", "../shop", "x", "load_date=2026-03-09/x", "", "."])
def test_only_a_whole_name_is_set_aside(table: RawTable, name: str) -> None:
    land_many(table, YESTERDAY, 2)
    with pytest.raises(LakeError, match="there is no raw commit"):
        set_aside(table.raw_dir, name)
    assert len(table.batch_ids()) == 2


def test_a_part_of_a_shared_file_is_read_by_its_batch_ids(table: RawTable) -> None:
    ids = land_many(table, YESTERDAY, 5)
    compact(table, now=TODAY)
    compact(table, grace=LATER)
    (part,) = table.slices(ids[1:3])
    assert (part.is_whole, part.batch_ids) == (False, tuple(ids[1:3]))
    assert [row[0] for row in rows(table, ids[1:3])] == ids[1:3]
    (whole,) = table.slices(ids)
    assert whole.is_whole


def test_two_compactions_exclude_each_other(table: RawTable) -> None:
    land_many(table, YESTERDAY, 3)
    with (
        file_lock(table.compaction_lock, purpose="lake raw compact"),
        pytest.raises(LockHeldError, match="already running: lake raw compact"),
    ):
        compact(table, now=TODAY)
    assert compacted(table) == []


def test_a_dry_run_says_the_same_and_changes_nothing(table: RawTable) -> None:
    land_many(table, YESTERDAY, 4)
    files = sorted(table.directory.rglob("*"))
    said = compact(table, now=TODAY, dry_run=True)
    assert sorted(table.directory.rglob("*")) == files
    done = compact(table, now=TODAY)
    assert (said.replaced, said.made, said.commits) == (done.replaced, done.made, done.commits)
    due = compact(table, grace=LATER, dry_run=True)
    assert (due.removed, len(data_files(table))) == (4, 5)


def test_a_copy_that_is_not_the_same_replaces_nothing(
    table: RawTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_many(table, YESTERDAY, 4)
    before = picture(table)
    as_it_is = compacting._in_row_groups
    monkeypatch.setattr(
        compacting,
        "_in_row_groups",
        lambda batches, schema: (rows.slice(1) for rows in as_it_is(batches, schema)),
    )
    with pytest.raises(LakeError, match="is not what was to be copied; nothing was replaced"):
        compact(table, now=TODAY)
    assert compacted(table) == []
    assert picture(table) == before


def test_a_death_after_any_step_leaves_every_commit_once(
    table: RawTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_many(table, YESTERDAY - timedelta(days=1), 2)
    land_many(table, YESTERDAY, 3)
    compact(table, now=TODAY)
    land_many(table, YESTERDAY + timedelta(hours=1), 2)
    before = picture(table)
    steps, done = 0, False
    while not done:
        mine = RawTable(tmp_path / str(steps) / "raw", "shop", "customers")
        shutil.copytree(table.raw_dir, mine.raw_dir)

        def work(mine: RawTable = mine) -> None:
            compact(mine, now=TODAY)
            compact(mine, grace=LATER)

        done = Mortal(monkeypatch).live(work, steps=steps)
        assert picture(mine) == before, f"after {steps} steps"
        assert problems(mine) == [], f"after {steps} steps"
        work()
        assert picture(mine) == before, f"after {steps} steps and another run"
        assert len(data_files(mine)) == 2
        assert list(mine.directory.rglob("*.tmp")) == []
        steps += 1
    assert steps > 10


def test_readers_writers_and_verify_go_on_while_a_table_is_compacted(table: RawTable) -> None:
    landed: list[str] = []
    done = threading.Event()
    failures: list[BaseException] = []

    def loop(work: Callable[[], None]) -> None:
        try:
            while not done.is_set():
                work()
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        known = list(landed)
        seen = table.batch_ids()
        assert {*known} <= {*seen}
        assert [row[0] for row in rows(table, seen)] == [*seen]

    def check() -> None:
        assert problems(table) == []

    def pack() -> None:
        compact(table, now=TODAY)

    threads = [threading.Thread(target=loop, args=(work,)) for work in (read, check, pack)]
    for thread in threads:
        thread.start()
    for n in range(40):
        landed.append(land(table, YESTERDAY + timedelta(seconds=n), [n]))
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert table.batch_ids() == tuple(landed)
    assert len(compacted(table)) > 1


def test_a_table_is_named_by_its_source_or_in_full(tmp_path: Path) -> None:
    tables = [RawTable(tmp_path, "shop", "a"), RawTable(tmp_path, "stream", "b")]
    assert tables_named(tables, None) == tables
    assert tables_named(tables, "shop") == tables[:1]
    assert tables_named(tables, "stream.b") == tables[1:]
    with pytest.raises(LakeError, match=r"choose one of: shop\.a, stream\.b"):
        tables_named(tables, "b")


@pytest.mark.parametrize("spoil", ["delete", "truncate", "nonsense", "flip"])
def test_the_kept_listing_can_be_lost_or_garbage(
    table: RawTable, spoil: str, settle: Callable[[], None]
) -> None:
    land_many(table, YESTERDAY, 3)
    settle()
    cache = listing_cache(table.raw_dir, "shop", "customers")
    before, content = table.listing(), cache.read_bytes()
    spoilt = {
        "truncate": content[: len(content) // 2],
        "nonsense": b"nonsense",
        "flip": content.replace(before.batch_ids[0].encode(), before.batch_ids[1].encode()),
    }
    cache.unlink() if spoil == "delete" else cache.write_bytes(spoilt[spoil])
    assert table.listing().days == before.days == list_commits(table.directory, None).days
    assert cache.read_bytes() == content
