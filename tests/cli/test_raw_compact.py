"""``lake raw compact`` and ``set-aside``: what was done, in one line."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.lake import Root
from support.raw_log import data_files, land_many

from lakehouse.locks import file_lock
from lakehouse.raw import RawTable
from lakehouse.raw import compact as compacting
from lakehouse.raw.compact import compact
from lakehouse.raw.names import COMPACTED_PREFIX

YESTERDAY = datetime.now(UTC).replace(hour=1) - timedelta(days=1)


def test_a_compaction_is_accounted_for_in_one_line(lake, root: Root) -> None:
    table = RawTable(root.settings.raw_dir, "shop", "orders")
    root.land(3)
    ids = land_many(table, YESTERDAY, 3)
    code, out, _ = lake("raw", "compact", "--dry-run")
    assert (code, len(data_files(table))) == (0, 3)
    assert "3 small files would become 1 (" in out
    code, out, err = lake("raw", "compact", "shop.orders")
    assert code == 0
    assert out.splitlines()[-1].startswith("3 small files became 1 (")
    assert "3 replaced files stay until their grace period is over" in out
    assert max(map(len, out.splitlines())) <= 80 + 40
    assert "compacting shop.orders: 3 rows" in err
    assert lake("raw", "verify")[1].strip() == "4 commits in 5 files, 6 rows, 0 damaged"
    assert table.batch_ids() == tuple(ids)
    ((account,), code) = json.loads(lake("raw", "compact", "shop.orders", "--json")[1]), code
    assert (account["replaced"], account["waiting"]) == (0, 3)
    assert lake("raw", "compact", "nothing")[0] == 1


def test_a_damaged_file_makes_the_run_red_and_the_next_command_is_named(lake, root: Root) -> None:
    table = RawTable(root.settings.raw_dir, "shop", "orders")
    ids = land_many(table, YESTERDAY, 4)
    table.path_of(ids[1]).write_bytes(b"nonsense")
    code, out, err = lake("raw", "compact")
    assert code == 1
    assert "3 small files became 1" in out
    assert f"lake raw set-aside {ids[1]}" in err


def test_a_table_that_is_being_compacted_does_not_stop_the_others(lake, root: Root) -> None:
    orders = RawTable(root.settings.raw_dir, "shop", "orders")
    items = RawTable(root.settings.raw_dir, "shop", "items")
    for table in (orders, items):
        land_many(table, YESTERDAY, 2)
    with file_lock(items.compaction_lock, purpose="lake raw compact"):
        code, out, err = lake("raw", "compact")
    assert code == 1
    assert "2 small files became 1" in out
    assert "already running: lake raw compact" in err


def test_setting_aside_a_file_that_was_replaced_says_that_nothing_is_missing(
    lake, root: Root
) -> None:
    table = RawTable(root.settings.raw_dir, "shop", "orders")
    ids = land_many(table, YESTERDAY, 2)
    lake("raw", "compact")
    code, out, _ = lake("raw", "set-aside", ids[0])
    assert code == 0
    assert f"Readers have the commit from {COMPACTED_PREFIX}" in out
    assert table.batch_ids() == tuple(ids)
    code, _, err = lake("raw", "set-aside", ids[1])
    assert code == 0
    code, _, err = lake("raw", "set-aside", ids[1])
    assert code == 1
    assert f"lake raw set-aside {COMPACTED_PREFIX}" in err


def test_a_commit_that_has_gone_is_told_from_a_damaged_one(lake, root: Root) -> None:
    table = RawTable(root.settings.raw_dir, "shop", "orders")
    ids = land_many(table, YESTERDAY, 3)
    table.path_of(ids[1]).unlink()
    code, out, err = lake("raw", "verify")
    assert code == 1
    assert "2 commits, 2 rows, 0 damaged, 1 gone" in out
    assert ids[1] in out
    assert ids[1] in err
    assert "run `lake extract orders`" in err


def test_nothing_is_removed_while_a_build_is_running(
    lake, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = RawTable(root.settings.raw_dir, "shop", "orders")
    land_many(table, YESTERDAY, 2)
    compact(table)
    (made,) = table.directory.glob(f"*/{COMPACTED_PREFIX}*")
    monkeypatch.setattr(compacting, "compacted_at", lambda stem: YESTERDAY - timedelta(days=2))
    with file_lock(root.settings.build_lock, purpose="dbt build"):
        assert "2 replaced files stay" in lake("raw", "compact")[1]
    assert "2 replaced files were removed" in lake("raw", "compact")[1]
    assert data_files(table) == [made]
