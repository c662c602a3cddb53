"""Every relation lands: tables without a cursor, without a key, partitioned ones, views."""

from pathlib import Path
from typing import Any

import pytest
from support.extraction import Source, spec

from ingest.postgres import ExtractionError, known, table


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute("create schema shop")
    return found


def rows(source: Source, name: str, columns: str = "a, b") -> list[Any]:
    return sorted(source.current(columns, name, "_row_id"), key=str)


def live(source: Source, name: str, columns: str = "a, b") -> list[Any]:
    return sorted(source.query(f"select {columns} from shop.{name}"), key=str)


@pytest.mark.parametrize("gathered_from", [0, 500_000])
def test_a_table_without_a_cursor_lands_what_differs(
    source: Source, monkeypatch: pytest.MonkeyPatch, gathered_from: int
) -> None:
    monkeypatch.setattr(known, "_ROWS_TO_GATHER", gathered_from)
    source.execute(
        "create table shop.plain (id int primary key, b text)",
        "insert into shop.plain select g, 'x' from generate_series(1, 100) g",
    )
    source.specs = [spec("plain", cursor=None)]
    report = source.extract(chunk_rows=30)
    assert (report.upserts, report.guarantee) == (100, "full: every run reads all rows")
    assert report.watermark_after is None
    files = source.files()
    for _ in range(2):
        report = source.extract(chunk_rows=30)
        assert (report.rows, report.rows_read, report.warnings) == (0, 100, ())
    assert source.files() == files
    source.execute(
        "update shop.plain set b = 'y' where id = 7",
        "delete from shop.plain where id in (8, 9)",
        "insert into shop.plain values (1000, 'z')",
    )
    report = source.extract(chunk_rows=30)
    assert (report.upserts, report.deletes) == (2, 2)
    assert source.current("id, b", "plain") == source.query(
        "select id, b from shop.plain order by id"
    )
    assert source.extract().rows == 0


def test_a_load_without_a_cursor_goes_on_where_it_stopped(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.execute(
        "create table shop.plain (id numeric primary key, b text)",
        "insert into shop.plain select g, 'x' from generate_series(1, 100) g",
    )
    source.specs = [spec("plain", cursor=None)]
    original, calls = table.land_chunk, [0]

    def dies(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract(chunk_rows=20)
    # Rows before the place where it goes on have changed meanwhile: the next run sees them.
    source.execute(
        "update shop.plain set b = 'y' where id = 3", "delete from shop.plain where id=4"
    )
    report = source.extract(chunk_rows=20)
    assert (report.rows_read, report.deletes) == (40, 1)
    assert source.extract(chunk_rows=20).upserts == 1
    assert source.current("id::int, b", "plain", "id::int") == source.query(
        "select id::int, b from shop.plain order by id"
    )


def test_a_table_without_a_key_lands_by_what_its_rows_say(source: Source) -> None:
    source.execute(
        "create table shop.bag (a int, b text, t timestamptz)",
        "insert into shop.bag values (1, 'x'), (1, 'x'), (1, 'x'), (2, null), (null, null)",
        "insert into shop.bag select g, 'n' from generate_series(10, 60) g",
    )
    source.specs = [spec("bag", primary_key=(), cursor="t")]
    report = source.extract(chunk_rows=3)
    assert report.upserts == 56
    assert report.warnings == (
        "nothing identifies a row: every run reads all rows, and t is not used",
    )
    assert rows(source, "bag") == live(source, "bag")
    files = source.files()
    assert source.extract().rows == 0
    assert source.files() == files
    source.execute(
        "delete from shop.bag where ctid in (select ctid from shop.bag where a = 1 limit 1)",
        "update shop.bag set b = 'y' where a = 2",
        "insert into shop.bag values (null, null)",
    )
    report = source.extract()
    assert (report.upserts, report.deletes) == (2, 2)
    assert rows(source, "bag") == live(source, "bag")
    # Every row says something else: that is no loss of rows.
    source.execute("update shop.bag set b = b || '!'")
    source.extract()
    assert rows(source, "bag") == live(source, "bag")
    source.execute("delete from shop.bag where a > 15")
    with pytest.raises(ExtractionError, match="that would delete"):
        source.extract()
    source.extract(allow_deletes=True)
    assert rows(source, "bag") == live(source, "bag")


def test_a_key_is_found_where_no_primary_key_is_declared(source: Source) -> None:
    source.execute(
        "create table shop.unique_only (a int not null unique, b int unique, "
        "updated_at timestamptz)",
        "insert into shop.unique_only values (1, null, now()), (2, null, now())",
    )
    source.specs = [spec("unique_only", primary_key=())]
    report = source.extract()
    assert (report.upserts, report.guarantee) == (2, "exact")
    assert "_row_id" not in source.raw("unique_only").infos()[0].details["source_types"]


@pytest.mark.parametrize("kind", ["view", "materialized view"])
def test_views_land_with_and_without_a_key(source: Source, kind: str) -> None:
    source.execute(
        "create table shop.base (a int primary key, b text, updated_at timestamptz default now())",
        "insert into shop.base select g, 'x' from generate_series(1, 10) g",
        f"create {kind} shop.seen as select * from shop.base",
    )
    for declared in ({"primary_key": ("a",)}, {"primary_key": ("a",), "cursor": None}):
        source.specs = [spec("seen", **declared)]
        source.extract()
        source.execute(
            f"update shop.base set b = '{len(declared)}', updated_at = now() where a = 3"
        )
        if kind != "view":
            source.execute("refresh materialized view shop.seen")
        source.extract()
        assert sorted(source.current("a, b", "seen", "a")) == sorted(live(source, "seen"))


def test_a_table_without_columns_lands_its_rows(source: Source) -> None:
    source.execute("create table shop.empty ()", "insert into shop.empty default values",
                   "insert into shop.empty default values")  # fmt: skip
    source.specs = [spec("empty", primary_key=(), cursor=None)]
    assert source.extract().upserts == 2
    assert source.extract().rows == 0


def test_a_partitioned_table_without_a_key_lands_once(source: Source) -> None:
    source.execute(
        "create table shop.parts (a int, b text) partition by list (a)",
        "create table shop.parts_1 partition of shop.parts for values in (1)",
        "create table shop.parts_2 partition of shop.parts for values in (2)",
        "insert into shop.parts values (1, 'x'), (1, 'x'), (2, 'x')",
    )
    source.specs = [spec("parts", primary_key=(), cursor=None)]
    assert source.extract().upserts == 3
    source.execute("drop table shop.parts_1")
    report = source.extract()
    assert (report.upserts, report.deletes) == (0, 2)
    assert rows(source, "parts") == live(source, "parts")


def test_the_name_of_the_row_id_is_ours_in_a_table_without_a_key(source: Source) -> None:
    source.execute("create table shop.bag (_row_id int)")
    source.specs = [spec("bag", primary_key=(), cursor=None)]
    with pytest.raises(ExtractionError, match="no key, and its column _row_id bears the name"):
        source.extract()
    source.execute("alter table shop.bag add primary key (_row_id)")
    source.extract()
