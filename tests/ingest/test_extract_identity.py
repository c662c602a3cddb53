"""The source is not what it was: another server, an older state, other files, another clock."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.extraction import EVENTS, Source, spec
from support.private_root import private_root

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from ingest.postgres import ExtractionError, ExtractReport, table, watermark
from ingest.postgres.identity import SourceMark, compare, is_behind
from lakehouse.settings import Settings


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(EVENTS, "insert into shop.events select g, 'x' from generate_series(1, 50) g")
    return found


def agrees(source: Source, table_name: str = "events") -> bool:
    live = source.query(f"select id, label from shop.{table_name} order by id")
    return source.current("id, label", table_name) == live


def warned(report: ExtractReport, words: str) -> bool:
    return any(words in warning for warning in report.warnings)


MARK = SourceMark(
    system="1/2", timeline=1, log_position="0/5000", started="a", clock="2026-01-01 00:00:00+00",
    local_clock=1000.0, boot="b", uptime=10.0, relations={"1": "1"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"system": "3/2"}, "another server"),
        ({"timeline": 2}, "a failover or a restored backup"),
        ({"log_position": "0/4FFF"}, "an older state was restored"),
    ],
)
def test_another_history_is_told(now: dict[str, Any], said: str) -> None:
    change = compare(MARK, replace(MARK, **now))
    assert change.broken is not None
    assert said in change.broken


def test_the_same_history_is_told() -> None:
    later = replace(
        MARK, log_position="1/0", clock="2026-01-01 00:01:00.5+00", local_clock=1060.0, uptime=70.0
    )
    change = compare(MARK, later)
    assert change.broken is None
    assert not (change.added or change.rewritten or change.is_clock_back or change.is_restarted)
    assert compare(None, MARK) == compare(MARK, MARK)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        # Server and extractor on one machine whose clock goes back: the uptime tells.
        ({"clock": "2025-12-31 23:10:00+00", "local_clock": -2000.0, "uptime": 610.0}, 3600),
        # Two machines, and the server's clock passes its old reading between two runs.
        ({"clock": "2026-01-01 00:10:00+00", "local_clock": 4600.0, "boot": "c"}, 3000),
        ({"clock": "2025-12-31 23:59:00+00", "local_clock": 900.0, "boot": ""}, 60),
    ],
)
def test_a_clock_that_goes_back_is_told(now: dict[str, Any], seconds: int) -> None:
    change = compare(MARK, replace(MARK, **now))
    assert change.is_clock_back
    assert change.clock_back == seconds


def test_a_standby_that_is_behind_is_told() -> None:
    assert is_behind(MARK, replace(MARK, log_position="0/4FFF"))
    assert not is_behind(MARK, MARK)
    assert not is_behind(MARK, replace(MARK, timeline=2, log_position="0/1"))
    assert not is_behind(None, MARK)


def altered(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    original = watermark.read_server_mark

    def read(*args: Any) -> SourceMark:
        return replace(original(*args), **fields)

    monkeypatch.setattr(watermark, "read_server_mark", read)


@pytest.mark.parametrize(("fields"), [{"system": "7/7"}, {"timeline": 99}])
def test_rows_of_another_history_are_all_read(
    source: Source, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    source.extract()
    source.execute("update shop.events set label = 'other' where id <= 5")
    altered(monkeypatch, **fields)
    report = source.extract(chunk_rows=20)
    assert report.upserts == 5
    assert warned(report, "all of it is read again")
    assert report.guarantee is not None
    assert report.guarantee.startswith("lookback")
    assert agrees(source)
    again = source.extract()
    assert (again.rows, again.guarantee, again.warnings) == (0, "exact", ())


def test_a_server_that_does_not_tell_which_it_is_is_not_exact(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(monkeypatch, system=None, log_position=None)
    guarantee = source.extract().guarantee
    assert guarantee == (
        "lookback 0s: the server does not tell which one it is, so another one would not be noticed"
    )


def test_a_clock_that_went_back_loses_no_row(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.specs = [spec(deletes="ignore")]
    source.extract()
    # The server's clock is put back by an hour: so much less has passed there than here.
    original = watermark.read_server_bound

    def an_hour_ago(*args: Any) -> Any:
        bound = original(*args)
        past, low = source.query(
            f"select (timestamptz '{bound.clock}' - interval '1 hour')::text, "
            f"(timestamptz '{bound.watermark}' - interval '1 hour')::text"
        )[0]
        return replace(bound, clock=past, watermark=low, mark=replace(bound.mark, clock=past))

    from ingest.postgres import extract

    with monkeypatch.context() as patch:
        patch.setattr(extract, "read_server_bound", an_hour_ago)
        source.execute("insert into shop.events values (100, 'a', now() - interval '1 hour')")
        report = source.extract()
        assert report.upserts == 1
        assert warned(report, "clock went back by")
        assert report.guarantee is not None
        assert "clock went back" in report.guarantee
        # The watermark follows the clock, so that the next hour is not skipped either.
        source.execute("insert into shop.events values (101, 'b', now() - interval '1 hour')")
        report = source.extract()
        assert (report.upserts, report.guarantee) == (1, "exact")
        source.extract()
    assert agrees(source)


PARTS = (
    "create table shop.parts (id bigint, label text, updated_at timestamptz default now(), "
    "primary key (id)) partition by range (id)",
    "create table shop.parts_1 partition of shop.parts for values from (0) to (100)",
    "create table shop.parts_2 partition of shop.parts for values from (100) to (200)",
    "insert into shop.parts select g, 'x', '2024-01-01' from generate_series(90, 109) g",
)


def test_a_truncated_partition_is_noticed_and_read_alone(source: Source) -> None:
    source.execute(*PARTS)
    source.specs = [spec("parts")]
    source.extract()
    source.execute(
        "truncate shop.parts_2",
        "insert into shop.parts select g, 'other', '2024-01-01' from generate_series(100, 109) g",
    )
    report = source.extract()
    assert (report.upserts, report.rows_read) == (10, 10)
    assert warned(report, "1 partitions were added, truncated or rewritten")
    assert report.guarantee is not None
    assert report.guarantee.startswith("lookback 0s: rows were truncated")
    assert agrees(source, "parts")
    again = source.extract()
    assert (again.rows, again.rows_read, again.guarantee) == (0, 0, "exact")


def test_an_attached_partition_with_old_rows_is_read(source: Source) -> None:
    source.execute(*PARTS)
    source.specs = [spec("parts", deletes="ignore")]
    source.extract()
    source.execute(
        "create table shop.parts_3 (like shop.parts including all)",
        "insert into shop.parts_3 select g, 'old', '2020-01-01' from generate_series(200, 204) g",
        "alter table shop.parts attach partition shop.parts_3 for values from (200) to (300)",
    )
    report = source.extract()
    assert (report.upserts, report.guarantee) == (5, "exact")
    assert agrees(source, "parts")
    assert source.extract().rows == 0


def test_a_partition_is_not_taken_for_read_before_its_rows_have_landed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.execute(*PARTS)
    source.specs = [spec("parts", deletes="ignore")]
    source.extract()
    source.execute(
        "truncate shop.parts_2",
        "insert into shop.parts select g, 'other', '2024-01-01' from generate_series(100, 109) g",
        "insert into shop.parts values (1, 'new')",
    )
    original = table.land_chunk

    def dies(*args: Any) -> Any:
        landed = original(*args)
        if args[3].only is None:
            raise KeyboardInterrupt
        return landed

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract()
    source.extract()
    assert agrees(source, "parts")


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something after the snapshot is taken, just before the second table is looked at."""
    from ingest.postgres import extract

    original, calls = extract.extract_table, [0]

    def run(*args: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            act()
        original(*args)

    monkeypatch.setattr(extract, "extract_table", run)


def test_a_table_filled_anew_while_an_earlier_one_is_read_is_read_in_another_snapshot(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.postgres import extract

    monkeypatch.setattr(extract, "_PAUSE_SECONDS", 0.0)
    source.execute(
        "create table shop.later (id bigint primary key, label text, "
        "updated_at timestamptz default now())",
        "insert into shop.later select g, 'x', '2024-01-01' from generate_series(1, 30) g",
    )
    source.specs = [spec(), spec("later", deletes="ignore")]
    source.extract_all()
    meanwhile(
        monkeypatch,
        lambda: source.execute(
            "truncate shop.later",
            "insert into shop.later select g, 'y', '2024-01-01' from generate_series(1, 30) g",
        ),
    )
    report = source.extract_all()[1]
    assert report.upserts == 30
    assert agrees(source, "later")


def test_a_table_that_is_rewritten_all_the_time_fails_alone(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.postgres import extract

    monkeypatch.setattr(extract, "_PAUSE_SECONDS", 0.0)
    source.execute(
        "create table shop.later (id bigint primary key, updated_at timestamptz default now())"
    )
    source.specs = [spec("later"), spec()]
    original = extract.extract_table

    def run(*args: Any) -> None:
        if args[3].name == "later":
            source.execute("truncate shop.later")
        original(*args)

    monkeypatch.setattr(extract, "extract_table", run)
    with pytest.raises(ExtractionError, match="was truncated, rewritten") as error:
        source.extract_all()
    later, events = error.value.reports
    assert later.error is not None
    assert (events.error, events.upserts) == (None, 50)


@pytest.fixture
def own_server() -> Iterator[tuple[Path, Callable[[], EmbeddedPostgres]]]:
    with private_root() as root:
        yield root, lambda: EmbeddedPostgres(Settings(root=root))


@pytest.mark.slow
@pytest.mark.parametrize("grown", [False, True])
def test_a_restored_copy_of_the_server_is_noticed(
    own_server: tuple[Path, Callable[[], EmbeddedPostgres]], tmp_path: Path, grown: bool
) -> None:
    root, start = own_server
    data = Settings(root=root).postgres_dir
    copy = root / "copy"
    with start() as server:
        source = Source(server.dsn(SUPERUSER, "postgres"), tmp_path)
        source.execute(
            EVENTS, "insert into shop.events select g, 'x' from generate_series(1, 50) g"
        )
        source.extract()
    subprocess.run(["cp", "-a", data, copy], check=True)
    with start() as server:
        source.dsn = server.dsn(SUPERUSER, "postgres")
        source.execute("update shop.events set label = 'lost', updated_at = now() where id <= 5")
        assert source.extract().upserts == 5
        assert source.extract().guarantee == "exact"
    shutil.rmtree(data)
    copy.rename(data)
    with start() as server:
        source.dsn = server.dsn(SUPERUSER, "postgres")
        if grown:
            # The log has passed where it was: only the rows tell.
            source.execute("create table filler as select repeat('x', 900) from "
                           "generate_series(1, 20000)", "checkpoint")  # fmt: skip
        report = source.extract()
        words = "newest landed rows" if grown else "an older state was restored"
        assert warned(report, words)
        assert report.guarantee != "exact"
        assert agrees(source)
        assert source.extract().guarantee == "exact"


@pytest.mark.slow
def test_a_server_recovered_from_an_archive_is_on_another_timeline(
    own_server: tuple[Path, Callable[[], EmbeddedPostgres]], tmp_path: Path
) -> None:
    _, start = own_server
    with start() as server:
        source = Source(server.dsn(SUPERUSER, "postgres"), tmp_path)
        source.execute(
            EVENTS, "insert into shop.events select g, 'x' from generate_series(1, 50) g"
        )
        source.extract()
        (folder,) = source.query("select current_setting('data_directory')")[0]
    cluster = Path(folder)
    signal = cluster / "recovery.signal"
    signal.touch()
    owner = cluster.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    with (cluster / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'false'\n")
    with start() as server:
        source.dsn = server.dsn(SUPERUSER, "postgres")
        while source.query("select pg_is_in_recovery()")[0][0]:
            time.sleep(0.1)
        source.execute("update shop.events set label = 'other' where id <= 5")
        report = source.extract()
        assert warned(report, "a failover or a restored backup")
        assert report.guarantee != "exact"
        assert report.upserts == 5
        source.execute("insert into shop.events values (99, 'after')")
        again = source.extract()
        assert (again.upserts, again.guarantee) == (1, "exact")
        assert agrees(source)
