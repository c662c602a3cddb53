"""Completeness is proven by key ranges, and only those that differ are read again."""

from pathlib import Path

import pytest
from support.extraction import EVENTS, Source, spec

from lakehouse.raw.verify import set_aside


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(
        EVENTS,
        "insert into shop.events select g, 'x', '2024-01-01' from generate_series(1, 1000) g",
    )
    found.extract()
    return found


def test_three_rows_changed_behind_the_cursor_are_named_and_repaired_alone(source: Source) -> None:
    report = source.extract(reconcile=True, rows_a_range=100)
    assert (report.ranges, report.rows) == ((), 0)
    source.execute("update shop.events set label = 'y' where id in (42, 43, 950)")
    files = source.files()
    report = source.extract(reconcile=True, rows_a_range=100)
    first, last = report.ranges
    assert (first.low, last.high) == (None, None)
    assert first.high in ("100", "101")
    assert last.low in ("900", "901")
    assert source.files() == files
    assert "some of which say something else" in str(report.ranges[0])
    report = source.extract(reconcile=True, repair=True, rows_a_range=100)
    assert report.upserts == 3
    assert 190 <= report.rows_read <= 210
    assert all(d.repaired for d in report.ranges)
    assert source.extract(reconcile=True, rows_a_range=100).ranges == ()
    assert source.current("id, label") == source.query(
        "select id, label from shop.events order by id"
    )


def test_rows_whose_commit_was_lost_are_found(source: Source) -> None:
    source.execute("update shop.events set label = 'y' where id <= 20")
    source.extract(reconcile=True, repair=True)
    set_aside(source.settings.raw_dir, source.infos()[-1].batch_id)
    report = source.extract(reconcile=True, repair=True, rows_a_range=50)
    assert report.upserts == 20
    assert [d.repaired for d in report.ranges] == [True]


def test_deletes_and_late_rows_are_no_difference(source: Source) -> None:
    source.execute(
        "delete from shop.events where id in (5, 6)",
        "insert into shop.events values (5000, 'late', '2020-01-01'), (5001, 'new', now())",
    )
    report = source.extract(reconcile=True, rows_a_range=100)
    assert (report.ranges, report.upserts, report.deletes) == ((), 2, 2)


def test_deleted_rows_that_are_ignored_are_said(source: Source) -> None:
    source.specs = [spec(deletes="ignore")]
    source.execute("delete from shop.events where id = 500")
    (difference,) = source.extract(reconcile=True).ranges
    assert (difference.in_source, difference.in_raw) == (999, 1000)


EVERY_TYPE = {
    "smallint": ["-32768", "7"],
    "integer": ["-1", "2147483647"],
    "bigint": ["-9223372036854775808", "0"],
    "boolean": ["true", "false"],
    "real": ["0.1", "NaN", "-0", "Infinity", "1e-45"],
    "double precision": ["0.1", "NaN", "-0", "-Infinity", "5e-324", "1e300"],
    "numeric": ["NaN", "1.500", "-0.00", "1e40"],
    "numeric(12,2)": ["NaN", "-0.05", "0", "9999999999.99"],
    "numeric(38,10)": ["NaN", "1e-10", "-1234567890123456789012345678"],
    "numeric(5,0)": ["-7", "0"],
    "text": ["", "ünï|cödé", "a\\b'c\nd\te", "-"],
    "char(5)": ["ab", ""],
    "bytea": ["\\x", "\\x00ff"],
    "date": ["0001-01-01", "9999-12-31", "infinity", "4713-01-01 BC", "1969-12-31"],
    "timestamp": ["0001-01-01 00:00:00.000001", "9999-12-31 23:59:59.999999", "-infinity"],
    "timestamptz": ["1969-12-31 23:59:59.999999+00", "2024-11-03 08:30:00.5+00", "infinity"],
    "time": ["24:00:00", "00:00:00.000001"],
    "interval": ["1 mon -1 days"],
    "jsonb": ['{"a": 1e400}'],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "int[]": ["{1,NULL}"],
    "inet": ["::1"],
}


def test_both_engines_write_every_value_alike_and_notice_each_change(
    pg_dsn: str, tmp_path: Path
) -> None:
    source = Source(pg_dsn, tmp_path)
    columns = {f"c{number}": pg_type for number, pg_type in enumerate(EVERY_TYPE)}
    declared = ", ".join(f"{name} {pg_type}" for name, pg_type in columns.items())
    source.execute(
        "create schema shop", f"create table shop.events (id int primary key, {declared}, "
        "updated_at timestamptz default '2024-01-01')",
    )  # fmt: skip
    number = 0
    statements, changes = [], []
    for name, values in zip(columns, EVERY_TYPE.values(), strict=True):
        other = values[1].replace("'", "''") if len(values) > 1 else None
        new = "null" if other is None else f"'{other}'"
        changes.append(f"update shop.events set {name} = {new} where id = {number + 1}")
        for value in values:
            number += 1
            quoted = value.replace("'", "''")
            statements.append(f"insert into shop.events (id, {name}) values ({number}, '{quoted}')")
    source.execute(*statements)
    assert source.extract(reconcile=True, rows_a_range=1).ranges == ()
    source.execute(*changes)
    report = source.extract(reconcile=True, repair=True, rows_a_range=1)
    assert report.upserts == len(changes)
    assert all(difference.repaired for difference in report.ranges)


KEYS = {
    "text": "md5(g::text)",
    'text collate "C"': "chr(64 + g % 50) || g",
    "uuid": "md5(g::text)::uuid",
    "numeric(9,2)": "g / 4.0",
    "numeric": "g / 4.0",
    "timestamptz": "timestamptz '2024-01-01 00:00+00' + g * interval '1 hour'",
    "date": "date '2024-01-01' - g",
    "bytea": "decode(md5(g::text), 'hex')",
    "double precision": "g / 3.0",
    "interval": "g * interval '1 hour'",
}


@pytest.mark.guard
@pytest.mark.parametrize("pg_type", KEYS)
def test_ranges_are_the_same_on_both_sides_whatever_the_key(
    pg_dsn: str, tmp_path: Path, pg_type: str
) -> None:
    source = Source(pg_dsn, tmp_path, [spec(cursor="n", lookback=0)])
    source.execute(
        "create schema shop",
        f"create table shop.events (id {pg_type} primary key, n int, label text)",
        f"insert into shop.events select {KEYS[pg_type]}, g from generate_series(1, 100) g",
    )
    source.extract()
    source.execute("update shop.events set label = 'x' where n = 50")
    (difference,) = source.extract(reconcile=True, rows_a_range=10).ranges
    assert 5 <= difference.in_source <= 15
    report = source.extract(reconcile=True, repair=True, rows_a_range=10)
    assert (report.upserts, [d.repaired for d in report.ranges]) == (1, [True])


def test_an_empty_table_and_one_without_a_key_reconcile(pg_dsn: str, tmp_path: Path) -> None:
    source = Source(pg_dsn, tmp_path, [spec(primary_key=(), cursor=None)])
    source.execute("create schema shop", "create table shop.events (a int, b text)")
    assert source.extract(reconcile=True).ranges == ()
    source.execute("insert into shop.events values (1, 'x'), (1, 'x')")
    assert source.extract(reconcile=True).ranges == ()
