"""Columns come, go and change their types, and each change has the outcome that is declared."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.extraction import EVENTS, Source, spec

from ingest.postgres import ExtractionError, known, table
from ingest.postgres.types import column_type


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare as a large table is compared: by hashes of what is landed, gathered once."""
    monkeypatch.setattr(known, "_ROWS_TO_GATHER", 0)


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(
        EVENTS,
        "insert into shop.events select g, g::text, '2024-01-01' from generate_series(1, 20) g",
    )
    return found


def agrees(source: Source, columns: str) -> bool:
    live = source.query(f"select {columns} from shop.events order by id")
    return [tuple(map(str, row)) for row in source.current(columns)] == [
        tuple(map(str, row)) for row in live
    ]


def test_a_new_column_with_a_default_is_landed_in_old_rows_too(source: Source) -> None:
    source.extract()
    source.execute(
        "alter table shop.events add extra text default 'd'",
        "insert into shop.events values (21, 'x', now(), 'e')",
    )
    report = source.extract()
    assert report.warnings == ("new column extra: landed, in older rows too",)
    assert report.upserts == 21
    assert agrees(source, "id, label, extra")
    again = source.extract()
    assert (again.rows, again.warnings) == (0, ())


def test_a_new_column_without_values_costs_one_read_and_no_row(source: Source) -> None:
    source.extract()
    source.execute("alter table shop.events add extra text")
    files = source.files()
    assert source.extract().rows_read == 20
    again = source.extract()
    assert (again.rows_read, again.warnings) == (0, ())
    assert source.files() == files
    source.execute("update shop.events set extra = 'later', updated_at = now() where id = 3")
    source.extract()
    assert agrees(source, "id, label, extra")


def test_history_cut_short_is_read_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.extract()
    source.execute("alter table shop.events add extra text default 'd'")
    original, calls = table.land_chunk, [0]

    def dies(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract(chunk_rows=5)
    assert source.extract(chunk_rows=5).upserts == 10
    assert agrees(source, "id, label, extra")
    assert source.extract().rows == 0


def test_a_dropped_column_is_said_once_and_nothing_is_lost(source: Source) -> None:
    source.extract()
    source.execute("alter table shop.events drop label", "insert into shop.events (id) values (21)")
    report = source.extract()
    assert report.warnings == ("column label is gone from shop.events: not landed any more",)
    assert report.upserts == 1
    assert agrees(source, "id")
    assert source.extract().warnings == ()


def test_a_renamed_column_is_landed_with_its_history(source: Source) -> None:
    source.extract()
    source.execute("alter table shop.events rename label to name")
    report = source.extract()
    assert len(report.warnings) == 2
    assert report.upserts == 20
    assert agrees(source, "id, name")


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("smallint", "integer"),
        ("integer", "bigint"),
        ("numeric(12,2)", "numeric(14,2)"),
        ("numeric(12,2)", "numeric(38,10)"),
        ("real", "double precision"),
        ("varchar(10)", "varchar(20)"),
        ("varchar(10)", "text"),
    ],
)
@pytest.mark.usefixtures("gathering")
def test_a_widened_column_keeps_its_history(source: Source, was: str, now: str) -> None:
    source.execute(f"alter table shop.events add v {was} default 7")
    source.extract()
    source.execute(
        f"alter table shop.events alter v type {now}",
        "insert into shop.events values (21, 'x', now(), 8)",
    )
    report = source.extract()
    assert report.upserts == 1
    assert any(f"column v was {was.replace('varchar', 'character varying')}" in w
               for w in report.warnings)  # fmt: skip
    assert source.current("id, v::double") == source.query(
        "select id, v::float8 from shop.events order by id"
    )
    again = source.extract()
    assert (again.rows, again.warnings) == (0, ())
    assert source.extract(full=True).rows == 0


@pytest.mark.parametrize(
    ("was", "now", "value", "using"),
    [
        ("text", "integer", "'07'", "v::integer"),
        ("integer", "text", "7", "v::text"),
        ("bigint", "integer", "7", "v::integer"),
        ("numeric(12,2)", "numeric(12,1)", "7", "v"),
        ("timestamp", "timestamptz", "'2024-01-01'", "v at time zone 'UTC'"),
        ("timestamptz", "date", "'2024-01-01'", "v::date"),
        ("numeric", "numeric(10,2)", "7.5", "v"),
        ("text", "jsonb", "'{}'", "v::jsonb"),
    ],
)
@pytest.mark.usefixtures("gathering")
def test_a_column_of_another_type_is_landed_anew(
    source: Source, was: str, now: str, value: str, using: str
) -> None:
    source.execute(f"alter table shop.events add v {was} default {value}")
    source.extract()
    source.execute(
        "alter table shop.events alter v drop default",
        f"alter table shop.events alter v type {now} using {using}",
    )
    report = source.extract(chunk_rows=8)
    same_arrow = (was, now) in {("text", "jsonb")} or (was, now) == ("bigint", "integer")
    assert report.upserts == (20 if not same_arrow else report.upserts)
    newest = pq.read_table(source.raw().commits()[-1], partitioning=None)
    if report.upserts:
        types = dict(
            source.query(
                "select attname::text, format_type(atttypid, atttypmod) from pg_attribute "
                "where attrelid = 'shop.events'::regclass"
            )
        )
        assert newest.schema.field("v").type == column_type(types["v"]).arrow
    again = source.extract()
    assert (again.rows, again.warnings) == (0, ())
    assert source.extract(full=True).rows == 0


def test_a_key_of_another_type_lands_the_table_anew(source: Source) -> None:
    source.extract()
    source.execute("alter table shop.events alter id type text")
    assert source.extract().upserts == 20
    assert source.extract().rows == 0
    source.execute("delete from shop.events where id = '3'")
    assert source.extract().deletes == 1
    assert source.extract().rows == 0


def test_a_widened_key_keeps_its_rows(source: Source) -> None:
    source.execute("alter table shop.events alter id type int")
    source.extract()
    source.execute("alter table shop.events alter id type bigint")
    assert source.extract().rows == 0
    source.execute(
        "delete from shop.events where id = 3", "insert into shop.events values (1 << 40)"
    )
    source.execute("update shop.events set id = 1::bigint << 40 where id = 256")
    source.extract()
    assert agrees(source, "id")


def test_a_column_that_comes_back_with_another_type(source: Source) -> None:
    source.extract()
    source.execute("alter table shop.events drop label")
    source.extract()
    source.execute("alter table shop.events add label int default 5")
    assert source.extract().upserts == 20
    assert agrees(source, "id, label")
    assert source.extract().rows == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("add extra text", "extra is new"),
        ("drop label", "label is gone"),
        ("alter id type numeric(20,0)", r"id was bigint and is now numeric\(20,0\)"),
    ],
)
def test_a_frozen_table_stops_and_lands_nothing(source: Source, change: str, said: str) -> None:
    source.specs = [spec(schema_drift="freeze")]
    source.extract()
    files = source.files()
    source.execute(f"alter table shop.events {change}", "insert into shop.events (id) values (99)")
    with pytest.raises(ExtractionError, match=said) as error:
        source.extract()
    assert "schema_drift: evolve" in error.value.next_step
    assert source.files() == files
    source.specs = [spec()]
    assert source.extract().upserts >= 1
    source.specs = [spec(schema_drift="freeze")]
    assert source.extract().rows == 0
