"""Chunks follow the order of the columns themselves, and no name means anything to us."""

from pathlib import Path
from typing import Any

import pytest
from support.extraction import Source, spec

from ingest.postgres import ExtractionError, table
from ingest.postgres.types import identifier


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute("create schema shop", "create type shop.size as enum ('s', 'm', 'l', 'xl')")
    return found


def interrupted(source: Source, monkeypatch: pytest.MonkeyPatch, chunks: int, size: int) -> None:
    """Extract until so many chunks have landed."""
    original, calls = table.land_chunk, [0]

    def dies(*args: Any) -> Any:
        if calls[0] == chunks:
            raise KeyboardInterrupt
        calls[0] += 1
        return original(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract(chunk_rows=size)


CURSORS = {
    "numeric": "g",
    "numeric(20,7)": "g / 7.0",
    "bigint": "g",
    "smallint": "g",
    "date": "date '2024-01-01' + g",
    "timestamp": "timestamp '2024-01-01' + g * interval '1 hour'",
    "timestamptz": "timestamptz '2024-01-01 00:00+00' + g * interval '1 hour'",
}


@pytest.mark.parametrize("pg_type", CURSORS)
def test_chunks_follow_the_order_of_the_cursor(
    source: Source, monkeypatch: pytest.MonkeyPatch, pg_type: str
) -> None:
    source.specs = [spec(cursor="seq", lookback=0, deletes="ignore")]
    if "date" in pg_type or "time" in pg_type:
        source.specs = [spec(cursor="seq", lookback="0s", deletes="ignore")]
    source.execute(
        f"create table shop.events (id bigint primary key, seq {pg_type})",
        f"insert into shop.events select g, {CURSORS[pg_type]} from generate_series(1, 1200) g",
    )
    interrupted(source, monkeypatch, chunks=5, size=100)
    report = source.extract(chunk_rows=100)
    assert report.upserts == 700
    assert len(source.landed("id")) == 1200
    assert [row[0] for row in source.current()] == list(range(1, 1201))


# Keys whose order is not that of their texts.
KEYS = {
    "bigint": "g",
    "numeric": "g",
    "numeric(9,3)": "g / 8.0",
    "real": "g / 4.0",
    "double precision": "1.0 / g",
    "boolean, b bigint": "g % 2 = 0, g",
    "shop.size, b int": "(enum_range(null::shop.size))[1 + g % 4], g",
    "inet": "inet '9.0.0.0' + g * 1000003",
    "cidr": "cidr(set_masklen(inet '9.0.0.0' + g * 256, 32))",
    "interval": "g * interval '1 hour'",
    "time": "time '00:00' + g * interval '1 minute'",
    "date": "date '2024-01-01' - g",
    "timestamp": "timestamp '0001-01-01' + g * interval '1 second'",
    "timestamptz": "timestamptz '2024-11-03 00:00+00' + g * interval '1 minute'",
    "uuid": "md5(g::text)::uuid",
    "bytea": "decode(md5(g::text), 'hex')",
    "text": "g",
    "char(8)": "g",
    "varchar collate \"C\"": "g",
    "\"char\", b int": "chr(65 + g % 26), g",
    "bit(12)": "g::bit(12)",
    "varbit": "g::bit(12)",
    "macaddr": "macaddr '08:00:2b:00:00:00' ",
    "int[]": "array[g]",
    "int4range": "int4range(g, g + 1)",
    "oid": "g",
    "pg_lsn": "('0/' || to_hex(g * 7000000))::pg_lsn",
    "money": "g",
    "xid8": "g::text::xid8",
    "jsonb": "to_jsonb(g)",
    "tsvector": "to_tsvector('simple', g::text)",
}  # fmt: skip


@pytest.mark.guard
@pytest.mark.parametrize("pg_type", KEYS)
def test_ties_are_broken_by_the_order_of_the_key(
    source: Source, monkeypatch: pytest.MonkeyPatch, pg_type: str
) -> None:
    columns = ("a", "b") if ", b" in pg_type else ("a",)
    rows = 1 if pg_type == "macaddr" else 300
    source.specs = [spec(primary_key=(), deletes="ignore")]
    source.execute(
        f"create table shop.events (a {pg_type}, updated_at timestamptz, "
        f"primary key ({', '.join(columns)}))",
        f"insert into shop.events ({', '.join(columns)}, updated_at) "
        f"select {KEYS[pg_type]}, '2024-01-01' from generate_series(1, {rows}) g",
    )
    if rows > 1:
        interrupted(source, monkeypatch, chunks=9, size=7)
    report = source.extract(chunk_rows=7)
    assert report.upserts == (rows - 63 if rows > 1 else 1)
    key = ", ".join(columns)
    assert source.landed(f"count(*), count(distinct ({key}))") == [(rows, rows)]
    assert source.extract(chunk_rows=7).rows == 0


def test_a_read_that_leaves_rows_out_is_an_error(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.execute(
        "create table shop.events (id bigint primary key, updated_at timestamptz default now())",
        "insert into shop.events select generate_series(1, 10)",
    )
    original = table.without_landed

    def loses(blocks: Any, *args: Any) -> Any:
        for block in original(blocks, *args):
            if block.num_rows > 1:
                yield block.slice(1)

    monkeypatch.setattr(table, "without_landed", loses)
    with pytest.raises(ExtractionError, match=r"1 rows of shop\.events are still not in raw"):
        source.extract()


ODD_NAMES = [
    "_place", "place", "incoming", "latest", "known", "case", "select", "src", "t", "lower",
    "watermark", "cursor", "key", "rows", "_live", "c0", "k0", "source_keys", "live_keys",
    "Ünï cödé", 'quo"te', "a.b", "{c}", "{0}", "%s", "$1", "?", ":x", "x" * 63, " ", "row_number",
    "_row", "rowid", "ordinal", "ctid_",
]  # fmt: skip


ODD_CURSORS = ["case", "lower", "watermark", "src", "_place", 'quo"te', "place", "{c}"]


def exercise(source: Source, key: tuple[str, ...], cursor: str) -> None:
    """Rows that land, land again, are late and are deleted, in a table of odd names."""
    source.specs = [spec(primary_key=key, cursor=cursor)]
    columns = ", ".join(map(identifier, (*key, cursor)))

    def insert(first: int, last: int, at: str) -> None:
        values = ", ".join(["g"] * len(key))
        source.execute(
            f"insert into shop.events ({columns}) select {values}, {at} "
            f"from generate_series({first}, {last}) g"
        )

    insert(1, 10, "now()")
    assert source.extract(chunk_rows=4).upserts == 10
    insert(11, 15, "now()")
    insert(16, 17, "timestamptz '2020-01-01'")
    assert source.extract(chunk_rows=4).upserts == 7
    first = identifier(key[0])
    source.execute(f"delete from shop.events where {first} in (3, 14)")
    assert source.extract().deletes == 2
    assert source.extract().rows == 0
    assert source.landed(f"{first}", end="order by all") == sorted(
        (number,) for number in (*range(1, 18), 3, 14)
    )


def test_no_name_of_a_column_means_anything_to_us(source: Source) -> None:
    extra = ", ".join(f"{identifier(name)} numeric(5,2) default 'NaN'" for name in ODD_NAMES)
    source.execute(
        f"create table shop.events (id int primary key, updated_at timestamptz, {extra})"
    )
    exercise(source, ("id",), "updated_at")


def test_no_name_of_a_key_means_anything_to_us(source: Source) -> None:
    key = tuple(ODD_NAMES[:30])
    declared = ", ".join(f"{identifier(name)} int" for name in key)
    source.execute(
        f"create table shop.events ({declared}, updated_at timestamptz, "
        f"primary key ({', '.join(map(identifier, key))}))"
    )
    exercise(source, key, "updated_at")


@pytest.mark.parametrize("name", ODD_CURSORS)
def test_no_name_of_a_cursor_means_anything_to_us(source: Source, name: str) -> None:
    source.execute(f"create table shop.events (id int primary key, {identifier(name)} timestamptz)")
    exercise(source, ("id",), name)


@pytest.mark.parametrize("name", ["_op", "_OP", "_Batch_Id", "_unrepresentable"])
def test_a_name_that_raw_uses_is_refused_in_any_case(source: Source, name: str) -> None:
    source.execute(
        f'create table shop.events (id int primary key, updated_at timestamptz, "{name}" text)'
    )
    with pytest.raises(ExtractionError, match=f"has a column {name}, a name that raw files use"):
        source.extract()


def test_names_equal_but_for_case_are_refused(source: Source) -> None:
    source.execute(
        'create table shop.events (id int primary key, updated_at timestamptz, a int, "A" int)'
    )
    with pytest.raises(ExtractionError, match="columns a and A, which differ only in case"):
        source.extract()
