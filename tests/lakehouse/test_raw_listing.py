"""The kept listing never disagrees with the folders, and holds nothing that is not in them."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import data, integers, sampled_from
from support.raw_log import TODAY, YESTERDAY, data_files, land, land_many, rows

from lakehouse.raw import RawTable, listing
from lakehouse.raw.compact import compact
from lakehouse.raw.listing import list_commits, listing_cache
from lakehouse.raw.verify import set_aside

NEVER = timedelta(seconds=-1)


@pytest.fixture
def table(tmp_path: Path) -> RawTable:
    return RawTable(tmp_path / "raw", "shop", "customers")


def until_noticed(table: RawTable) -> None:
    """Wait for the clock of the file system: the machine below lists more often than it ticks."""
    for folder in table.directory.glob("load_date=*"):
        before = folder.stat().st_ctime_ns
        while folder.stat().st_ctime_ns == before:
            os.utime(folder)


class Folders(RuleBasedStateMachine):
    """Anything that can happen to a table's folders, with a listing in between."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = patch.object(listing, "_SETTLED_NS", -1)
        self._patch.start()
        self._root = Path(os.environ["PYTEST_LISTING_ROOT"])
        shutil.rmtree(self._root, ignore_errors=True)
        self.table = RawTable(self._root / "raw", "shop", "customers")
        self.landed = 0
        self.alive: set[str] = set()

    @rule(hours=integers(-60, 11))
    def land(self, hours: int) -> None:
        self.landed += 1
        at = TODAY + timedelta(hours=hours, seconds=self.landed)
        self.alive.add(land(self.table, at, [self.landed], details={"a": 1}))

    @rule()
    def compact(self) -> None:
        compact(self.table, now=TODAY)

    @rule()
    def remove_replaced(self) -> None:
        compact(self.table, now=TODAY, grace=NEVER)

    @precondition(lambda self: self.table.batch_ids())
    @rule(data=data())
    def set_aside(self, data) -> None:  # type: ignore[no-untyped-def]
        path = data.draw(sampled_from(data_files(self.table)))
        set_aside(self.table.raw_dir, path.stem)
        # A file that another one repeats hides nothing.
        self.alive = {*list_commits(self.table.directory, None).batch_ids}

    @rule()
    def forget(self) -> None:
        listing_cache(self.table.raw_dir, "shop", "customers").unlink(missing_ok=True)

    @invariant()
    def listing_is_what_is_there(self) -> None:
        until_noticed(self.table)
        kept = self.table.listing()
        fresh = list_commits(self.table.directory, None)
        assert kept.days == fresh.days
        assert {*kept.batch_ids} == self.alive
        assert [row[0] for row in rows(self.table, kept.batch_ids)] == [*kept.batch_ids]

    def teardown(self) -> None:
        self._patch.stop()


def test_the_kept_listing_agrees_with_the_folders_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setenv("PYTEST_LISTING_ROOT", str(tmp_path / "machine"))
    few = settings(max_examples=15, stateful_step_count=12)
    run_state_machine_as_test(Folders, settings=few)


def test_a_folder_that_has_just_changed_is_not_kept(table: RawTable) -> None:
    land_many(table, YESTERDAY, 2)
    assert len(table.batch_ids()) == 2
    assert not listing_cache(table.raw_dir, "shop", "customers").exists()


def test_a_kept_folder_is_not_listed_again(
    table: RawTable, monkeypatch: pytest.MonkeyPatch, settle: Callable[[], None]
) -> None:
    ids = land_many(table, YESTERDAY, 3)
    today = land_many(table, TODAY, 1)
    settle()
    table.listing()
    scanned: list[str] = []
    scan = listing._scan

    def noted(entry: "os.DirEntry[str]") -> listing.Day:
        scanned.append(entry.name)
        return scan(entry)

    monkeypatch.setattr(listing, "_scan", noted)
    assert table.batch_ids() == (*ids, *today)
    assert scanned == []
    until_noticed(table)
    land(table, TODAY + timedelta(hours=1), [5])
    assert len(table.batch_ids()) == 5
    assert f"load_date={TODAY:%Y-%m-%d}" in scanned


def test_the_digest_is_of_commits_and_places_also_of_files(
    table: RawTable, settle: Callable[[], None]
) -> None:
    land_many(table, YESTERDAY, 3)
    settle()
    before = table.listing()
    compact(table, now=TODAY)
    until_noticed(table)
    packed = table.listing()
    assert packed.digest == before.digest
    assert packed.places != before.places
    land(table, YESTERDAY + timedelta(hours=1), [5])
    until_noticed(table)
    assert table.listing().digest != before.digest


def test_a_folder_without_a_commit_is_like_none(table: RawTable) -> None:
    (batch_id,) = land_many(table, YESTERDAY, 1)
    empty = RawTable(table.raw_dir, "shop", "none").listing()
    set_aside(table.raw_dir, batch_id)
    assert table.listing().digest == empty.digest


def test_whoever_may_not_keep_a_listing_lists_anew(
    table: RawTable, settle: Callable[[], None]
) -> None:
    (table.raw_dir.parent / "state").write_text("a file where the folder would be")
    ids = land_many(table, YESTERDAY, 2)
    settle()
    assert table.batch_ids() == tuple(ids)


def test_listing_loads_no_pyarrow() -> None:
    import subprocess
    import sys

    code = "import sys, lakehouse.raw.listing; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
