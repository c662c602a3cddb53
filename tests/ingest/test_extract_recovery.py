"""Whatever stops an extraction, the next one goes on and ends where an undisturbed one would."""

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.extraction import EVENTS, Source, spec

from ingest.postgres import ExtractionError, SourceError, extract, known, table
from lakehouse.errors import LakeError
from lakehouse.raw import CommitWriter
from lakehouse.raw.verify import set_aside

_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from support.extraction import Source, spec
    from lakehouse.raw import CommitWriter

    dsn, root, moment, nth = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    seen = 0
    commit, write = CommitWriter.commit, CommitWriter.write

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(when):
        global seen
        if when == moment:
            seen += 1
            if seen == nth:
                die()

    def patched_commit(self, **fields):
        counted("before commit")
        info = commit(self, **fields)
        counted("after commit")
        return info

    def patched_write(self, data):
        write(self, data)
        counted("after write")

    CommitWriter.commit, CommitWriter.write = patched_commit, patched_write
    real_rename = os.rename
    def rename(a, b):
        counted("before rename")
        real_rename(a, b)
        counted("after rename")
    os.rename = rename
    Source(dsn, root).extract(chunk_rows=100)
"""
MOMENTS = ("after write", "before commit", "before rename", "after rename", "after commit")


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(
        EVENTS,
        "insert into shop.events select g, 'x', timestamptz '2024-01-01' + (g % 50) * "
        "interval '1 h' from generate_series(1, 1000) g",
    )
    return found


def agrees(source: Source) -> bool:
    return source.current("id, label") == source.query(
        "select id, label from shop.events order by id"
    )


def killed(source: Source, moment: str, nth: int) -> int:
    """Extract in a process that is killed at the nth such moment; its exit code."""
    tests = str(Path(__file__).resolve().parents[1])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_KILLED), source.dsn, source.root, moment, str(nth)],
        env={**os.environ, "PYTHONPATH": tests},
        check=False,
    ).returncode


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_costs_at_most_one_chunk(source: Source, moment: str) -> None:
    assert killed(source, moment, 4) == -signal.SIGKILL
    done = len(source.infos())
    assert done == (4 if moment.startswith("after re") or moment == "after commit" else 3)
    report = source.extract(chunk_rows=100)
    assert report.rows_read == 1000 - done * 100
    assert agrees(source)
    assert len(source.landed()) == 1000
    assert list(source.settings.raw_dir.rglob(".*")) == []
    assert source.extract().rows == 0


@pytest.mark.slow
def test_random_kills_end_like_an_undisturbed_run(source: Source) -> None:
    import random

    rng = random.Random(7)
    for number in range(50):
        source.execute(
            f"insert into shop.events select g, 'r{number}' from "
            f"generate_series({2000 + number * 300}, {2000 + number * 300 + 249}) g",
            f"update shop.events set label = 'u', updated_at = now() where id % 97 = {number}",
            f"delete from shop.events where id % 101 = {number}",
        )
        killed(source, rng.choice(MOMENTS), rng.randint(1, 4))
    source.extract(chunk_rows=100)
    assert agrees(source)
    assert list(source.settings.raw_dir.rglob(".*")) == []
    assert len(source.landed()) == len(source.landed("distinct id, label, updated_at, _op"))


def test_rows_changed_behind_an_interrupted_load_are_not_lost(source: Source) -> None:
    with psycopg.connect(source.dsn) as late:
        late.execute("insert into shop.events values (5000, 'written before, committed after')")
        assert killed(source, "after commit", 4) == -signal.SIGKILL
        source.execute("update shop.events set label = 'changed', updated_at = now() where id = 1")
        late.commit()
    source.extract(chunk_rows=100)
    assert agrees(source)
    assert source.extract().rows == 0


def test_a_resumed_load_of_rows_above_its_watermark_reads_them_again(source: Source) -> None:
    source.execute("update shop.events set updated_at = now()")
    with psycopg.connect(source.dsn) as late:
        late.execute("insert into shop.events values (5000, 'late')")
        source.execute("update shop.events set updated_at = clock_timestamp()")
        assert killed(source, "after commit", 4) == -signal.SIGKILL
        late.commit()
    source.extract(chunk_rows=100)
    assert agrees(source)


def test_a_broken_connection_goes_on_after_the_last_chunk(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "_PAUSE_SECONDS", 0.0)
    original, calls = table.land_chunk, [0]

    def land_chunk(*args: Any) -> object:
        calls[0] += 1
        if calls[0] in (3, 6):
            source.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where application_name = 'lake extract'"
            )
        return original(*args)

    monkeypatch.setattr(table, "land_chunk", land_chunk)
    report = source.extract(chunk_rows=100)
    assert report.upserts == 1000
    assert report.rows_read == 1000
    assert agrees(source)


def test_three_broken_connections_in_a_row_end_with_a_sentence(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "_PAUSE_SECONDS", 0.0)
    original, calls = table.land_chunk, [0]

    def land_chunk(*args: Any) -> object:
        calls[0] += 1
        if calls[0] > 2:
            source.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where application_name = 'lake extract'"
            )
        return original(*args)

    monkeypatch.setattr(table, "land_chunk", land_chunk)
    with pytest.raises(
        SourceError, match=r"broke 3 times in a row while reading shop\.events .*200 rows of it"
    ):
        source.extract(chunk_rows=100)
    monkeypatch.undo()
    assert source.extract(chunk_rows=100).rows_read == 800
    assert agrees(source)


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_commit_set_aside_is_landed_again(source: Source, lost: int) -> None:
    source.extract()
    for number in range(3):
        source.execute(
            f"insert into shop.events values ({3000 + number}, 'x')",
            f"update shop.events set label = 'v', updated_at = now() where id = {number + 1}",
        )
        source.extract()
    batches = [info.batch_id for info in source.infos()]
    set_aside(source.settings.raw_dir, batches[lost])
    report = source.extract()
    assert report.upserts > 0
    assert agrees(source)
    # The repair holds: nothing more to do, and losing another commit is noticed again.
    assert source.extract().rows == 0
    set_aside(source.settings.raw_dir, next(b for b in batches if b != batches[lost]))
    source.extract()
    assert agrees(source)


@pytest.mark.parametrize("lost", range(5))
def test_a_chunk_set_aside_is_landed_again(source: Source, lost: int) -> None:
    source.extract(chunk_rows=200)
    source.execute("insert into shop.events values (3000, 'x')")
    source.extract()
    batches = [info.batch_id for info in source.infos()]
    set_aside(source.settings.raw_dir, batches[lost])
    assert source.extract(chunk_rows=200).upserts == 200
    assert agrees(source)


def test_tombstones_set_aside_are_landed_again(source: Source) -> None:
    source.extract()
    source.execute("delete from shop.events where id < 5")
    source.extract()
    set_aside(source.settings.raw_dir, source.infos()[-1].batch_id)
    assert source.extract().deletes == 4
    assert agrees(source)


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_corrupt_newest_commit_is_named_and_can_be_set_aside(source: Source, damage: str) -> None:
    source.extract()
    source.execute("insert into shop.events values (3000, 'x')")
    source.extract()
    path = source.raw().commits()[-1]
    data = path.read_bytes()
    path.write_bytes(
        {"truncate": data[: len(data) // 2], "garbage": b"x" * 99, "empty": b""}[damage]
    )
    with pytest.raises(ExtractionError) as error:
        source.extract()
    assert str(path) in str(error.value)
    assert f"lake raw set-aside {path.stem}" in error.value.next_step
    set_aside(source.settings.raw_dir, path.stem)
    source.extract()
    assert agrees(source)


def test_a_corrupt_page_in_an_older_commit_is_named_when_it_matters(source: Source) -> None:
    source.specs = [spec(lookback="9999d")]
    source.extract()
    path = source.raw().commits()[0]
    data = bytearray(path.read_bytes())
    data[40:400] = os.urandom(360)
    path.write_bytes(bytes(data))
    source.execute("insert into shop.events values (3000, 'x')")
    with pytest.raises(ExtractionError, match=path.stem):
        source.extract()


def test_a_full_disk_is_said_and_leaves_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    import pyarrow.parquet as pq

    def write(self: object, *args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write", write)
    with pytest.raises(ExtractionError, match="the disk is full"):
        source.extract()
    monkeypatch.undo()
    assert [path for path in source.settings.raw_dir.rglob("*") if path.is_file()] == []
    source.extract()
    assert agrees(source)


def test_orphans_of_a_killed_run_are_removed(source: Source) -> None:
    assert killed(source, "before rename", 1) == -signal.SIGKILL
    assert len(list(source.settings.raw_dir.rglob(".*.tmp"))) == 1
    source.extract()
    assert list(source.settings.raw_dir.rglob(".*.tmp")) == []


def test_a_planted_commit_is_not_taken_for_our_state(source: Source) -> None:
    import pyarrow.parquet as pq

    from lakehouse.raw import new_batch_id

    source.extract()
    (path,) = source.raw().commits()
    rows = pq.read_table(path, partitioning=None).slice(0, 1)
    info = source.infos()[0]
    batch_id = new_batch_id(path.stem)
    with CommitWriter(source.raw(), rows.schema, batch_id) as writer:
        writer.write(rows)
        writer.commit(
            kind="incremental", writer="someone", extracted_at=info.extracted_at, upserts=1,
            watermark_after="2999-01-01 00:00:00+00",
        )  # fmt: skip
    source.execute("insert into shop.events values (3000, 'x')")
    report = source.extract()
    assert report.watermark_after is not None
    assert report.watermark_after < "2999"
    assert agrees(source)


def test_the_footer_of_a_first_chunk_is_small(source: Source) -> None:
    source.extract(chunk_rows=100)
    assert all(len(info.to_json()) < 2048 for info in source.infos())


def test_interrupting_leaves_no_lock(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(table, "land_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source.extract()
    monkeypatch.undo()
    source.extract()
    assert agrees(source)


def test_no_server_is_said_at_once(tmp_path: Path) -> None:
    source = Source("postgresql://u:s3cr%40t@127.0.0.1:1/nowhere", tmp_path)
    with pytest.raises(LakeError, match=r"does not answer.*Connection refused") as error:
        source.extract()
    assert "s3cr" not in str(error.value)


HISTORY = (
    "update shop.events set label = '{run}', updated_at = now() where id = {id}",
    "update shop.events set label = '{run}' where id = {id}",
    "update shop.events set label = '{run}', updated_at = null where id = {id}",
    "update shop.events set label = '{run}', updated_at = '2023-01-01' where id = {id}",
    "insert into shop.events values ({id}, '{run}') on conflict do nothing",
    "insert into shop.events values ({id}, '{run}', '2023-01-01') on conflict do nothing",
    "insert into shop.events values ({id}, '{run}', null) on conflict do nothing",
    "delete from shop.events where id = {id}",
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_full_read_brings_back_whatever_was_set_aside(
    pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    if seed % 2:
        monkeypatch.setattr(known, "_ROWS_TO_GATHER", 0)
    source = Source(pg_dsn, tmp_path, [spec(max_delete_share=1.0)])
    source.execute(
        EVENTS, "insert into shop.events select g, 'x', '2024-01-01' from generate_series(1, 30) g"
    )
    for run in range(8):
        for _ in range(rng.randint(0, 4)):
            source.execute(rng.choice(HISTORY).format(run=run, id=rng.randint(1, 40)))
        source.extract(full=rng.random() < 0.4, chunk_rows=rng.choice([5, 100]))
        if rng.random() < 0.3:
            set_aside(source.settings.raw_dir, rng.choice(source.raw().commits()).stem)
    for path in rng.sample(source.raw().commits(), 2):
        set_aside(source.settings.raw_dir, path.stem)
    source.extract(full=True, chunk_rows=rng.choice([5, 100]))
    columns = "id, label, updated_at::text"
    assert source.current(columns) == source.query(f"select {columns} from shop.events order by id")
    assert source.extract(full=True).rows == 0


LARGE = (
    "create table shop.large (id bigint primary key, label text, "
    "updated_at timestamptz default now())",
    "insert into shop.large select g, case when g % 9 = 0 then 'odd' end, "
    "case when g % 10 = 0 then null else timestamptz '2024-01-01' end "
    "from generate_series(1, 30000) g",
)


def large_agrees(source: Source) -> bool:
    columns = "id, label, updated_at::text"
    live = source.query(f"select {columns} from shop.large order by id")
    return source.current(columns, "large") == live


def test_a_first_load_reads_the_file_block_by_block_and_each_row_once(source: Source) -> None:
    source.specs = [spec("large")]
    source.execute(*LARGE, "analyze shop.large")
    report = source.extract(chunk_rows=5000)
    infos = source.infos("large")
    assert len(infos) >= 4
    assert "ctid" in (infos[0].resume_position or {})
    assert (infos[-1].kind, infos[-1].resume_position) == ("snapshot", None)
    assert infos[0].cursor_max == "2024-01-01 00:00:00+00"
    assert (report.upserts, report.guarantee) == (30_000, "exact")
    assert large_agrees(source)
    assert source.landed("count(*)", "large") == [(30_000,)]
    assert source.extract().rows == 0


@pytest.mark.parametrize("deletes", ["reconcile", "ignore"])
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_load_by_blocks_goes_on_after_rows_have_moved_between_them(
    source: Source, monkeypatch: pytest.MonkeyPatch, killed_after: int, deletes: str
) -> None:
    source.specs = [spec("large", deletes=deletes)]
    source.execute(*LARGE, "analyze shop.large")
    original, calls = table.land_chunk, [0]

    def dies(*args: Any) -> Any:
        if calls[0] == killed_after:
            raise KeyboardInterrupt
        calls[0] += 1
        return original(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract(chunk_rows=5000)
    # Room is made in the blocks that were read, and rows of later blocks move into it.
    source.execute(
        *(["delete from shop.large where id <= 2000 and id > 5"] if deletes == "reconcile" else []),
        "vacuum shop.large",
        "update shop.large set label = 'a', updated_at = now() where id between 28000 and 28400",
        "update shop.large set label = 'b', updated_at = null where id between 27000 and 27100",
        "insert into shop.large select g, 'new' from generate_series(40001, 40100) g",
    )
    source.execute("update shop.large set label = 'c' where id between 29000 and 29050")
    report = source.extract(chunk_rows=5000)
    assert report.rows_read < 30_000
    assert large_agrees(source)
    assert source.extract().rows == 0
    assert source.infos("large")[-1].resume_position is None


def test_a_load_by_blocks_ends_although_its_last_blocks_are_empty(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.specs = [spec("large")]
    source.execute(*LARGE, "analyze shop.large")
    original, calls = table.land_chunk, [0]

    def dies(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract(chunk_rows=5000)
    source.execute("delete from shop.large where id > 11000")
    source.extract(chunk_rows=5000, allow_deletes=True)
    last = source.infos("large")[-1]
    assert last.resume_position is None
    assert last.watermark_after is not None
    assert large_agrees(source)
    report = source.extract()
    assert (report.rows, report.guarantee) == (0, "exact")
