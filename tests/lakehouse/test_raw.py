"""Raw commits: atomic, ordered, self-describing, and honest about damage."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.raw import (
    CommitWriter,
    RawFileError,
    RawTable,
    new_batch_id,
    raw_schema,
    remove_orphans,
)
from lakehouse.raw.verify import set_aside, verify

SCHEMA = raw_schema(pa.schema([("id", pa.int64())]))
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def rows(batch_id: str, ids: list[int]) -> pa.Table:
    n = len(ids)
    columns = [ids, [batch_id] * n, ["upsert"] * n, [NOW] * n, [None] * n]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def land(table: RawTable, ids: list[int], after: str | None = None) -> Path:
    batch_id = new_batch_id(after)
    with CommitWriter(table, SCHEMA, batch_id) as writer:
        writer.write(rows(batch_id, ids))
        writer.commit(
            kind="incremental",
            writer="test/1",
            extracted_at=NOW,
            upserts=len(ids),
            watermark_after="2026-01-02 03:04:05.678901+00",
        )
    return table.path_of(batch_id)


@pytest.fixture
def table(tmp_path: Path) -> RawTable:
    return RawTable(tmp_path / "raw", "shop", "customers")


def test_a_commit_says_what_it_holds(table: RawTable) -> None:
    path = land(table, [1, 2, 3])
    info = table.read(path)
    assert (info.rows, info.upserts, info.deletes) == (3, 3, 0)
    assert info.watermark_after == "2026-01-02 03:04:05.678901+00"
    assert info.extracted_at == NOW
    day = datetime.strptime(info.batch_id[:8], "%Y%m%d").replace(tzinfo=UTC)
    assert path.parent.name == f"load_date={day:%Y-%m-%d}"


def test_batch_ids_sort_in_commit_order_even_when_the_clock_goes_back() -> None:
    future = "29990101T000000000000Z-ffffff"
    following = new_batch_id(future)
    assert following > future
    assert new_batch_id(following) > following


def test_leaving_without_commit_leaves_nothing(table: RawTable) -> None:
    batch_id = new_batch_id()
    with pytest.raises(RuntimeError), CommitWriter(table, SCHEMA, batch_id) as writer:
        writer.write(rows(batch_id, [1]))
        raise RuntimeError("the source went away")
    assert [p for p in table.directory.rglob("*") if p.is_file()] == []


def test_an_empty_commit_is_refused(table: RawTable) -> None:
    with (
        pytest.raises(ValueError, match="0 rows"),
        CommitWriter(table, SCHEMA, new_batch_id()) as writer,
    ):
        writer.commit(kind="incremental", writer="test/1", extracted_at=NOW, upserts=0)


def test_the_orphan_of_a_killed_writer_is_removed_and_a_live_one_is_not(table: RawTable) -> None:
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_raw import *\n"
        "t = RawTable(Path(sys.argv[1]), 'shop', 'customers'); b = new_batch_id()\n"
        "w = CommitWriter(t, SCHEMA, b).__enter__(); w.write(rows(b, [1]))\n"
        "print('open', flush=True); time.sleep(60)\n"
    )
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", script, str(table.raw_dir), here]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"open\n"
        assert remove_orphans(table) == 0
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    assert table.commits() == []
    assert remove_orphans(table) == 1
    assert remove_orphans(table) == 0


def test_a_file_that_was_removed_before_it_was_locked_is_made_again(
    table: RawTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``remove_orphans`` of another process does when it comes between the two."""
    lock, removed = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.extend(table.directory.glob("*/.*.tmp"))
            removed[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    path = land(table, [1, 2])
    assert removed
    assert table.commits() == [path]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_every_damage_is_named_with_its_file_and_next_command(table: RawTable, damage: str) -> None:
    sound = land(table, list(range(1000)))
    path = land(table, list(range(1000)), after=sound.stem)
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[60] ^= 0xFF
    path.write_bytes({"empty": b"", "text": b"hello"}.get(damage, bytes(data)))
    results = {v.path: v.problem for v in verify(table.raw_dir)}
    assert results[sound] is None
    problem = results[path]
    assert isinstance(problem, RawFileError)
    assert str(path) in str(problem)
    assert f"lake raw set-aside {path.stem}" in str(problem)


def test_setting_aside_hides_a_commit_and_keeps_its_bytes(table: RawTable) -> None:
    path = land(table, [1])
    content = path.read_bytes()
    aside = set_aside(table.raw_dir, path.stem)
    assert table.commits() == []
    assert aside.read_bytes() == content


def test_a_reader_that_lists_all_the_time_sees_only_whole_commits(table: RawTable) -> None:
    last = None
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        last = land(table, [1, 2], after=last.stem if last else None)
        assert all(info.rows == 2 for info in table.infos())
