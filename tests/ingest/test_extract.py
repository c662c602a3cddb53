"""Extraction loses nothing: late commits, ties, idle runs, NULL and future cursors, time zones."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.extraction import EVENTS, Source, spec

from ingest.postgres import ExtractionError
from ingest.postgres.extract import lock_path
from lakehouse.errors import LakeError
from lakehouse.locks import file_lock


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(EVENTS)
    return found


def ids(source: Source) -> list[int]:
    return [row[0] for row in source.query("select id from shop.events order by id")]


def landed_ids(source: Source) -> list[int]:
    return [row[0] for row in source.current()]


def test_a_first_run_lands_everything_and_says_so(source: Source) -> None:
    source.execute("insert into shop.events select g, 'x' from generate_series(1, 1000) g")
    report = source.extract()
    assert (report.rows, report.upserts, report.deletes) == (1000, 1000, 0)
    assert report.watermark_before is None
    assert report.guarantee == "exact"
    (info,) = source.infos()
    assert info.kind == "snapshot"
    assert info.watermark_after == report.watermark_after
    assert info.cursor_min == info.cursor_max
    assert info.cursor_max == source.query("select max(updated_at)::text from shop.events")[0][0]
    assert landed_ids(source) == ids(source)


def test_ten_idle_runs_leave_raw_byte_identical(source: Source) -> None:
    source.execute("insert into shop.events select g, 'x' from generate_series(1, 100) g")
    before = source.extract().watermark_after
    files = source.files()
    for _ in range(10):
        report = source.extract()
        assert (report.batches, report.rows) == ((), 0)
        assert report.watermark_after == before
    assert source.files() == files
    folders = [path for path in source.settings.raw_dir.rglob("*") if path.is_dir()]
    assert all(any(folder.iterdir()) for folder in folders)


def test_a_row_committed_late_with_an_older_cursor_arrives(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'first')")
    with psycopg.connect(source.dsn) as late:
        late.execute("insert into shop.events values (1, 'late')")
        source.execute("insert into shop.events values (2, 'early')")
        source.extract()
        source.execute("insert into shop.events values (3, 'early')")
        source.extract()
        assert landed_ids(source) == [0, 2, 3]
        late.commit()
    report = source.extract()
    assert report.upserts == 1
    assert landed_ids(source) == ids(source) == [0, 1, 2, 3]
    assert len(source.landed()) == 4


def test_a_transaction_that_has_not_written_yet_holds_the_watermark_back(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'first')")
    with psycopg.connect(source.dsn) as idle:
        start = idle.execute(
            "select xact_start::text from pg_stat_activity where pid = pg_backend_pid()"
        ).fetchone()
        time.sleep(0.05)
        source.execute("insert into shop.events values (1, 'x')")
        assert start is not None
        watermark = source.extract().watermark_after
        (below,) = source.query(f"select '{watermark}'::timestamptz <= '{start[0]}'::timestamptz")
        assert below[0]
        idle.execute("insert into shop.events values (2, 'wrote at last')")
        idle.commit()
    source.extract()
    assert landed_ids(source) == [0, 1, 2]


def test_the_watermark_never_moves_backward(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'first')")
    with psycopg.connect(source.dsn) as old:
        old.execute("select 1")
        time.sleep(0.05)
        first = source.extract().watermark_after
    seen = [first]
    for number in range(1, 4):
        source.execute(f"insert into shop.events values ({number}, 'x')")
        seen.append(source.extract().watermark_after)
    (rows,) = source.query(
        "select bool_and(b >= a) from unnest(array["
        + ", ".join(f"('{a}'::timestamptz)" for a in seen[:-1])
        + "], array["
        + ", ".join(f"('{b}'::timestamptz)" for b in seen[1:])
        + "]) as t(a, b)"
    )
    assert rows[0]


def test_rows_newer_than_the_watermark_are_landed_and_then_not_again(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'x')")
    source.extract()
    source.execute("insert into shop.events values (1, 'newer than the margin')")
    assert source.extract().upserts == 1
    assert source.extract().rows == 0


def test_an_update_lands_a_second_version(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'old'), (1, 'same')")
    source.extract()
    source.execute("update shop.events set label = 'new', updated_at = now() where id = 0")
    assert source.extract().upserts == 1
    assert source.current("id, label") == [(0, "new"), (1, "same")]
    assert len(source.landed()) == 3


def test_a_row_inside_the_lookback_is_found_even_below_the_watermark(source: Source) -> None:
    source.specs = [spec(lookback="1h", deletes="ignore")]
    source.execute("insert into shop.events values (0, 'x')")
    source.extract()
    source.execute(
        "insert into shop.events values (1, 'in', now() - interval '50 minutes')",
        "insert into shop.events values (2, 'out', now() - interval '70 minutes')",
    )
    source.extract()
    assert landed_ids(source) == [0, 1]


def test_a_row_below_the_lookback_is_found_by_count(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'x')")
    source.extract()
    source.execute("insert into shop.events values (1, 'old', '2020-01-01')")
    report = source.extract()
    assert landed_ids(source) == [0, 1]
    assert any("1 rows of the source were not in raw" in w for w in report.warnings)
    assert source.extract().rows == 0


def test_ties_at_a_chunk_boundary_arrive_once_each(source: Source) -> None:
    source.execute(
        "insert into shop.events select g, 'x', '2024-01-01' from generate_series(1, 2000) g"
    )
    report = source.extract(chunk_rows=100)
    assert len(report.batches) == 20
    assert len(source.landed()) == 2000
    source.execute(
        "insert into shop.events select g, 'x', '2024-01-01' from generate_series(2001, 2005) g"
    )
    source.extract(chunk_rows=100)
    assert len(source.landed()) == 2005
    assert landed_ids(source) == ids(source)


@pytest.mark.slow
def test_a_hundred_thousand_ties(source: Source) -> None:
    source.execute(
        "insert into shop.events select g, 'x', '2024-01-01' from generate_series(1, 100000) g"
    )
    source.extract(chunk_rows=1000)
    assert len(source.landed("id")) == 100_000
    assert landed_ids(source) == ids(source)


def test_a_load_as_large_as_its_chunks_ends(source: Source) -> None:
    source.execute("insert into shop.events select g, 'x' from generate_series(1, 300) g")
    report = source.extract(chunk_rows=100)
    assert [info.kind for info in source.infos()] == ["chunk", "chunk", "snapshot"]
    assert report.watermark_after is not None
    assert source.infos()[0].resume_position is not None
    assert source.infos()[-1].resume_position is None


@pytest.mark.parametrize(("policy", "expected"), [("include", 13), ("exclude", 3)])
def test_rows_without_a_cursor(source: Source, policy: str, expected: int) -> None:
    source.specs = [spec(null_cursor=policy)]
    source.execute(
        "insert into shop.events select g, 'x', null from generate_series(1, 10) g",
        "insert into shop.events select g, 'x' from generate_series(11, 13) g",
    )
    report = source.extract()
    assert report.null_cursors == 10
    assert len(landed_ids(source)) == expected
    assert source.extract().rows == 0
    source.execute("update shop.events set updated_at = now() where id <= 3")
    assert source.extract().upserts == 3
    assert len(landed_ids(source)) == (13 if policy == "include" else 6)
    assert source.extract().rows == 0


def test_a_row_whose_cursor_becomes_null_again_is_landed(source: Source) -> None:
    source.execute("insert into shop.events values (1, 'x', null)")
    source.extract()
    source.execute("update shop.events set updated_at = now()")
    assert source.extract().upserts == 1
    source.execute("update shop.events set updated_at = null")
    assert source.extract().upserts == 1
    assert source.current("updated_at") == [(None,)]


@pytest.mark.parametrize("deletes", ["reconcile", "ignore"])
def test_a_cursor_filled_with_an_old_time_lands_the_row_again(source: Source, deletes: str) -> None:
    source.specs = [spec(deletes=deletes)]
    source.execute("insert into shop.events select g, 'x', null from generate_series(1, 5) g")
    source.extract()
    # The count of rows without a cursor stays as it was.
    source.execute(
        "update shop.events set updated_at = '2020-01-01', label = 'filled' where id = 2",
        "insert into shop.events values (6, 'x', null)",
    )
    assert source.extract().upserts == 2
    assert source.current("label", key="id")[1] == ("filled",)
    assert source.extract().rows == 0
    source.execute("update shop.events set updated_at = 'infinity', label = 'odd' where id = 3")
    assert source.extract().upserts == 1
    for path in source.settings.state_dir.glob("checkpoints/*"):
        path.unlink()
    assert source.extract().rows == 0
    assert source.current("id, label") == source.query(
        "select id, label from shop.events order by id"
    )


def test_rows_without_a_cursor_can_be_an_error(source: Source) -> None:
    source.specs = [spec(null_cursor="raise")]
    source.execute("insert into shop.events values (1, 'x', null), (2, 'x', now())")
    with pytest.raises(ExtractionError, match=r"1 rows of shop\.events have no updated_at"):
        source.extract()
    assert source.files() == {}


def test_a_cursor_in_the_future_poisons_nothing(source: Source) -> None:
    source.execute("insert into shop.events values (0, 'future', '2099-01-01')")
    report = source.extract()
    assert report.future_cursors == 1
    assert report.watermark_after is not None
    assert report.watermark_after < "2099"
    assert any("2099-01-01 00:00:00+00" in warning for warning in report.warnings)
    for number in range(1, 6):
        source.execute(f"insert into shop.events values ({number}, 'x')")
        assert source.extract().upserts == 1
    assert landed_ids(source) == [0, 1, 2, 3, 4, 5]
    assert source.extract().rows == 0


@pytest.mark.parametrize("odd", ["infinity", "-infinity", "4713-01-01 BC", "294276-12-31"])
def test_cursors_that_no_arrow_type_holds(source: Source, odd: str) -> None:
    source.execute(
        f"insert into shop.events select g, 'x', '{odd}' from generate_series(1, 7) g",
        "insert into shop.events values (8, 'x')",
    )
    source.extract(chunk_rows=3)
    assert landed_ids(source) == ids(source)
    assert source.extract(chunk_rows=3).rows == 0
    source.execute("insert into shop.events values (9, 'x')")
    assert source.extract(chunk_rows=3).upserts == 1
    (text,) = source.query("select updated_at::text from shop.events where id = 1")[0]
    (kept,) = source.landed("_unrepresentable->>'updated_at'", end="where id = 1")[0]
    assert kept == text


def test_microseconds_are_exact(source: Source) -> None:
    stamps = ["2024-01-01 00:00:00.123456+00", "2024-01-01 00:00:00.123457+00"]
    for number, stamp in enumerate(stamps):
        source.execute(f"insert into shop.events values ({number}, 'x', '{stamp}')")
        assert source.extract(full=True).upserts == 1
    assert [info.cursor_max for info in source.infos()] == stamps
    assert source.landed("epoch_us(updated_at) % 1000000", end="order by 1") == [
        (123456,), (123457,),
    ]  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize("cursor_type", ["timestamptz", "timestamp"])
def test_raw_is_the_same_in_every_time_zone(
    pg_dsn: str, tmp_path: Path, zone: str, cursor_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(pg_dsn, tmp_path)
    database = psycopg.conninfo.conninfo_to_dict(pg_dsn)["dbname"]
    source.execute(
        f"alter database \"{database}\" set timezone = '{zone}'",
        EVENTS.replace("timestamptz", cursor_type),
        "insert into shop.events select g, 'x', timestamp '2024-11-03 08:00' "
        "at time zone 'UTC' + g * interval '10 min' from generate_series(1, 20) g"
        if cursor_type == "timestamptz"
        else "insert into shop.events select g, 'x', timestamp '2024-11-03 00:30' "
        "+ g * interval '10 min' from generate_series(1, 20) g",
    )
    monkeypatch.setenv("PGTZ", zone)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        source.extract()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    (info,) = source.infos()
    expected = "2024-11-03 08:10:00+00" if cursor_type == "timestamptz" else "2024-11-03 00:40:00"
    assert info.cursor_min == expected
    first = source.landed("epoch_us(min(updated_at))")[0][0]
    assert first == (1730621400000000 if cursor_type == "timestamptz" else 1730594400000000)


def test_rows_of_the_repeated_hour_of_a_local_clock_arrive(source: Source) -> None:
    source.execute(
        "alter table shop.events alter updated_at type timestamp",
        "insert into shop.events values (1, 'x', '2024-11-03 01:59:00')",
    )
    report = source.extract()
    assert report.watermark_after == "2024-11-03 01:59:00"
    assert report.guarantee is not None
    assert report.guarantee.startswith("lookback 2h: the cursor is timestamp without time zone")
    source.execute("insert into shop.events values (2, 'second pass', '2024-11-03 01:01:00')")
    source.extract()
    assert landed_ids(source) == [1, 2]


@pytest.mark.parametrize(
    ("cursor_type", "lookback", "values"),
    [
        ("bigint", 10, ["100", "95", "101", "9223372036854775807"]),
        ("numeric", 1, ["0.123456", "0.1234564", "0.12345640000000001", "1e50"]),
        ("numeric(20,7)", 1, ["0.123456", "0.1234564", "7", "1e12"]),
        ("date", "1d", ["2024-01-01", "2024-01-01", "2023-12-31", "2024-02-01"]),
        ("timestamp", "1h", ["2024-01-01", "2024-01-01 00:00:00.000001", "2023-12-31 23:30"]),
    ],
)
def test_other_cursors_use_their_lookback(
    source: Source, cursor_type: str, lookback: object, values: list[str]
) -> None:
    source.specs = [spec(lookback=lookback, deletes="ignore")]
    source.execute(
        "alter table shop.events drop updated_at",
        f"alter table shop.events add updated_at {cursor_type}",
    )
    for number, value in enumerate(values):
        source.execute(f"insert into shop.events values ({number}, 'x', '{value}')")
        report = source.extract()
        assert report.upserts == 1
        assert source.extract().rows == 0
    assert report.guarantee is not None
    assert report.guarantee.startswith("lookback")
    assert landed_ids(source) == list(range(len(values)))
    assert (
        source.infos()[-1].cursor_max
        == source.query(f"select updated_at::text from shop.events where id = {len(values) - 1}")[
            0
        ][0]
    )


def test_the_guarantee_is_said(pg_server: object, source: Source) -> None:
    source.execute(
        "do $$ begin create role lake_blind login; exception when duplicate_object then end $$",
        "grant usage on schema shop to lake_blind",
        "grant select on all tables in schema shop to lake_blind",
        "insert into shop.events values (1, 'x')",
    )
    database = psycopg.conninfo.conninfo_to_dict(source.dsn)["dbname"]
    blind = Source(pg_server.dsn("lake_blind", database), source.root, [spec(lookback="30m")])  # type: ignore[attr-defined]
    assert blind.extract().guarantee == (
        "lookback 30m: role lake_blind may not see other sessions; grant it pg_read_all_stats"
    )
    assert source.infos()[0].details["guarantee"].startswith("lookback 30m")
    source.specs = [spec(clock="application", lookback="2d")]
    assert source.extract().guarantee == "lookback 2d: an application's clock sets the cursor"


def test_all_tables_of_a_run_share_one_snapshot(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.postgres import extract

    source.execute(
        "create table shop.children (id bigint primary key, event_id bigint, "
        "updated_at timestamptz default now())",
        "insert into shop.events values (1, 'x')",
    )
    original = extract.extract_table
    seen: list[str] = []

    def run(*args: Any) -> None:
        if seen:
            source.execute(
                "begin; insert into shop.events values (2, 'x'); "
                "insert into shop.children values (2, 2); commit"
            )
        seen.append("table")
        original(*args)

    monkeypatch.setattr(extract, "extract_table", run)
    source.specs = [spec(), spec("children")]
    source.extract_all()
    assert landed_ids(source) == [1]
    assert source.raw("children").commits() == []


def test_a_second_extractor_is_refused_and_says_who_runs(source: Source) -> None:
    path = lock_path(source.settings, source.specs[0])
    with (
        file_lock(path, purpose="lake extract shop.events"),
        pytest.raises(LakeError, match=r"already running: lake extract shop\.events \(pid \d+"),
    ):
        source.extract()
    source.extract()


def test_two_checkouts_on_one_raw_layer_exclude_each_other(source: Source, tmp_path: Path) -> None:
    source.settings.raw_dir.mkdir(parents=True)
    other = tmp_path / "other"
    (other / "data").mkdir(parents=True)
    (other / "data" / "raw").symlink_to(source.settings.raw_dir)
    beside = Source(source.dsn, other, source.specs)
    with (
        file_lock(lock_path(beside.settings, beside.specs[0]), purpose="another checkout"),
        pytest.raises(LakeError, match="already running: another checkout"),
    ):
        source.extract()


def hammer(
    source: Source, number: int, stop: threading.Event, errors: list[Exception]
) -> Callable[[], None]:
    """A writer that inserts, updates, sleeps in transactions and rolls back."""
    import random

    def work() -> None:
        rng = random.Random(number)
        serial = 0
        try:
            with psycopg.connect(source.dsn) as connection:
                while not stop.is_set():
                    connection.execute("select 1")
                    time.sleep(rng.choice([0, 0, 0.01, 0.3]))
                    for _ in range(rng.randint(1, 4)):
                        serial += 1
                        connection.execute(
                            "insert into shop.events values (%s, 'new')",
                            (number * 1_000_000 + serial,),
                        )
                        time.sleep(rng.choice([0, 0, 0.02]))
                    connection.execute(
                        "update shop.events set label = %s, updated_at = now() where id = %s",
                        (f"v{serial}", number * 1_000_000 + rng.randint(1, serial)),
                    )
                    connection.execute("savepoint undone")
                    connection.execute(
                        "insert into shop.events values (%s, 'never')", (-number * 1_000 - serial,)
                    )
                    connection.execute("rollback to undone")
                    if rng.random() < 0.3:
                        # Two rows change their cursors, so that one goes back in time.
                        one, two = (number * 1_000_000 + rng.randint(1, serial) for _ in range(2))
                        connection.execute(
                            "update shop.events as a set updated_at = b.updated_at, "
                            "label = a.label || '~' || %s from shop.events as b "
                            "where (a.id, b.id) in ((%s, %s), (%s, %s))",
                            (serial, one, two, two, one),
                        )
                    if rng.random() < 0.2:
                        connection.rollback()
                    else:
                        connection.commit()
        except Exception as error:
            errors.append(error)

    return work


@pytest.mark.parametrize(
    ("writers", "seconds"), [(4, 4), pytest.param(16, 60, marks=pytest.mark.slow)]
)
def test_writers_at_work_lose_nothing(source: Source, writers: int, seconds: int) -> None:
    # The lookback is for cursors that go back; without these none would be needed.
    source.specs = [spec(deletes="ignore", lookback="10m")]
    stop, errors = threading.Event(), list[Exception]()
    threads = [
        threading.Thread(target=hammer(source, number, stop, errors))
        for number in range(1, writers + 1)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        source.extract(chunk_rows=50)
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    source.extract(chunk_rows=50)
    assert source.extract().rows == 0
    assert source.current("id, label") == source.query(
        "select id, label from shop.events order by id"
    )
    # No version is landed twice.
    assert (
        source.landed("count(*), count(distinct (id, updated_at, label))")[0][0]
        == (source.landed("count(distinct (id, updated_at, label))")[0][0])
    )


def test_unknown_tables_are_named(source: Source) -> None:
    with pytest.raises(LakeError, match="no table nope"):
        source.extract("nope")
