"""Types: every value arrives exactly, or as NULL with its exact text beside it."""

import json
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.extraction import Source, spec

from ingest.postgres.types import column_type, postgres_text

HEAD = "id bigint primary key, updated_at timestamptz not null default now()"


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute("create schema shop")
    return found


def column(source: Source, name: str = "v") -> pa.ChunkedArray:
    tables = [pq.read_table(path, partitioning=None) for path in source.raw().commits()]
    return pa.concat_tables(tables, promote_options="default").sort_by("id").column(name)


@pytest.mark.parametrize(
    ("pg_type", "arrow"),
    [
        ("smallint", pa.int16()),
        ("integer", pa.int32()),
        ("bigint", pa.int64()),
        ("boolean", pa.bool_()),
        ("real", pa.float32()),
        ("double precision", pa.float64()),
        ("bytea", pa.binary()),
        ("date", pa.date32()),
        ("timestamp(3) without time zone", pa.timestamp("us")),
        ("timestamp with time zone", pa.timestamp("us", tz="UTC")),
        ("numeric(12,2)", pa.decimal128(12, 2)),
        ("numeric(38,38)", pa.decimal128(38, 38)),
        ("numeric(39,2)", pa.string()),
        ("numeric(3,-2)", pa.string()),
        ("numeric(2,5)", pa.string()),
        ("numeric", pa.string()),
        ("character(2)", pa.string()),
        ("character varying(20)", pa.string()),
        ("jsonb", pa.string()),
        ("shop.numeric", pa.string()),
    ],
)
def test_one_arrow_type_for_each_type(pg_type: str, arrow: pa.DataType) -> None:
    assert column_type(pg_type).arrow == arrow


ODD = {
    "jsonb": ["{\"b\": [1, null], \"a\": 1e400}", "[]", "\"x\"", "null", "7"],
    "json": ["{\"a\":1,  \"a\":2}", "[1, 2]"],
    "text": ["", "ünïcode ✓ 🐘", "a'b\\c\"d", "line\nbreak\ttab"],
    "text[]": ["{a,NULL,\"b c\",\"\"}", "{}"],
    "int[][]": ["{{1,2},{3,4}}"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "shop.mood": ["happy", "so so"],
    "interval": ["1 year 2 mons 3 days 04:05:06.789", "-1 days"],
    "inet": ["192.168.1.0/24", "::1"],
    "int4range": ["[1,5)", "empty", "(,3)"],
    "tstzrange": ["[\"2024-01-01 00:00:00+00\",infinity)"],
    "time": ["04:05:06.789", "24:00:00"],
    "timetz": ["04:05:06+02"],
    "numeric": ["NaN", "Infinity", "-Infinity", "1" * 200 + "." + "2" * 300, "0.00"],
    "money": ["$1,234.50"],
    "bit varying": ["10101"],
    "shop.pair": ["(1,\"a b\")"],
    "shop.positive": ["5"],
    "tsvector": ["'a' 'b':2"],
    "point": ["(1,2)"],
    "float8[]": ["{0.1,NaN,Infinity,1e-300}"],
    "timestamptz[]": ["{\"2024-01-01 00:00:00+00\"}"],
}  # fmt: skip


def test_everything_without_an_exact_type_keeps_postgresqls_text(source: Source) -> None:
    source.execute(
        "create type shop.mood as enum ('happy', 'so so')",
        "create type shop.pair as (a int, b text)",
        "create domain shop.small as numeric(30,10) check (value > 0)",
        "create domain shop.positive as shop.small",
    )
    columns = {f"c{number}": pg_type for number, pg_type in enumerate(ODD)}
    declared = ", ".join(f"{name} {pg_type}" for name, pg_type in columns.items())
    source.execute(f"create table shop.events ({HEAD}, {declared})")
    with psycopg.connect(source.dsn) as connection:
        number = 0
        for name, values in zip(columns, ODD.values(), strict=True):
            for value in values:
                number += 1
                connection.execute(
                    f"insert into shop.events (id, {name}) values (%s, %s)".encode(),
                    (number, value),
                )
    source.extract()
    texts = ", ".join(f"{name}::text" for name in columns)
    expected = source.query(f"select {texts} from shop.events order by id")
    landed = [column(source, name).to_pylist() for name in columns]
    for index, row in enumerate(expected):
        for name, text, values in zip(columns, row, landed, strict=True):
            value = values[index]
            assert (None if value is None else str(value)) == text, (name, columns[name])
    assert column(source, f"c{list(ODD).index('shop.positive')}").type == pa.decimal128(30, 10)


def test_values_beyond_arrow_are_null_and_kept_as_text(source: Source) -> None:
    source.execute(
        f"create table shop.events ({HEAD}, d date, ts timestamp, tz timestamptz, "
        "n numeric(12,2), big numeric(38,10))",
        "insert into shop.events (id, d, ts, tz, n, big) values "
        "(1, '0001-01-01', '0001-01-01', '0001-01-01 00:00:00+00', -0.01, 1e27),"
        "(2, '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', 1, 1),"
        "(3, 'infinity', '-infinity', 'infinity', 'NaN', 'NaN'),"
        "(4, '4713-01-01 BC', '4713-01-01 BC', '0001-12-31 BC', 5, null),"
        "(5, '5874897-12-31', '294276-12-31', '10000-01-01 00:00:00+00', null, 7)",
    )
    source.extract()
    names = ("d", "ts", "tz", "n", "big")
    texts = source.query(
        f"select {', '.join(f'{name}::text' for name in names)} from shop.events order by id"
    )
    kept = [json.loads(text or "{}") for text in column(source, "_unrepresentable").to_pylist()]
    landed = {name: column(source, name).to_pylist() for name in names}
    for index, row in enumerate(texts):
        for name, text in zip(names, row, strict=True):
            value = landed[name][index]
            shown = kept[index].get(name) if value is None else postgres_text(value)
            assert shown == text, (index, name)
    assert kept[0] == kept[1] == {}
    assert set(kept[2]) == set(names)
    assert source.extract(full=True).rows == 0


@pytest.mark.parametrize("pg_type", ["numeric(12,2)", "numeric(38,10)", "numeric"])
def test_numbers_make_the_round_trip(source: Source, pg_type: str) -> None:
    source.execute(f"create table shop.events ({HEAD}, v {pg_type})")
    digits = {"numeric(12,2)": (10, 2), "numeric(38,10)": (28, 10), "numeric": (900, 90)}[pg_type]

    whole, parts = (
        st.text("0123456789", min_size=1, max_size=digits[0]),
        st.text("0123456789", min_size=1, max_size=digits[1]),
    )
    values = st.builds(lambda s, w, p: f"{s}{w}.{p}", st.sampled_from(["", "-"]), whole, parts)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(values, st.just("NaN"), st.none()), min_size=1, max_size=60))
    def check(texts: list[str | None]) -> None:
        source.execute("truncate shop.events")
        for path in source.raw().commits():
            path.unlink()
        with psycopg.connect(source.dsn) as connection:
            connection.cursor().executemany(
                "insert into shop.events (id, v) values (%s, %s)", list(enumerate(texts))
            )
        source.extract()
        rows = source.query("select v::text from shop.events order by id")
        kept = [json.loads(text or "{}") for text in column(source, "_unrepresentable").to_pylist()]
        for (text,), value, beside in zip(rows, column(source).to_pylist(), kept, strict=True):
            assert (beside.get("v") if value is None else postgres_text(value)) == text

    check()


@given(st.datetimes())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_our_text_of_a_time_is_postgresqls(pg_server: object, moment: object) -> None:
    from datetime import UTC, datetime

    assert isinstance(moment, datetime)
    with psycopg.connect(pg_server.dsn("postgres", "postgres")) as connection:  # type: ignore[attr-defined]
        connection.execute("set timezone = 'UTC'")
        row = connection.execute(
            "select %s::timestamp::text, (%s::timestamp at time zone 'UTC')::text, %s::date::text",
            (moment.isoformat(), moment.isoformat(), moment.isoformat()),
        ).fetchone()
    assert row == (
        postgres_text(moment),
        postgres_text(moment.replace(tzinfo=UTC)),
        postgres_text(moment.date()),
    )


def test_text_does_not_depend_on_the_servers_settings(source: Source) -> None:
    database = psycopg.conninfo.conninfo_to_dict(source.dsn)["dbname"]
    source.execute(
        f"alter database \"{database}\" set datestyle = 'German'",
        f"alter database \"{database}\" set intervalstyle = 'iso_8601'",
        f"alter database \"{database}\" set bytea_output = 'escape'",
        f'alter database "{database}" set extra_float_digits = -10',
        f"alter database \"{database}\" set timezone = 'Asia/Kolkata'",
    )
    source.execute(
        f"create table shop.events ({HEAD}, i interval, d date[], f float8[], b bytea[], t "
        "timestamptz[])",
        "insert into shop.events values (1, now(), '1 day', '{2024-02-01}', '{0.1234567890123456}',"
        " array['\\xdead'::bytea], array['2024-01-01 00:00:00+00'::timestamptz])",
    )
    source.extract()
    assert source.landed("i, d, f, b, t") == [
        ("1 day", "{2024-02-01}", "{0.1234567890123456}", '{"\\\\xdead"}',
         '{"2024-01-01 00:00:00+00"}')
    ]  # fmt: skip


def test_composite_and_odd_keys(source: Source) -> None:
    source.execute(
        'create table shop.events (u uuid, "K ""x" text, at timestamptz, n numeric(6,2), b bytea, '
        'updated_at timestamptz default now(), primary key ("K ""x", u, at, n, b))',
        "insert into shop.events select gen_random_uuid(), 'k''' || (g % 7), "
        "now() + g * interval '1.000001 s', g / 100.0, decode(lpad(to_hex(g), 4, '0'), 'hex'), "
        "'2024-01-01' from generate_series(1, 500) g",
    )
    source.specs = [spec(primary_key=("u", 'K "x', "at", "n", "b"))]
    assert source.extract(chunk_rows=37).upserts == 500
    assert len(source.landed('distinct (u, "at", n, b)')) == 500
    assert source.extract(full=True, chunk_rows=37).rows == 0
    source.execute("delete from shop.events where n <= 0.20")
    assert source.extract().deletes == 20


def test_as_many_columns_as_postgresql_allows(source: Source) -> None:
    kinds = ("int", "numeric(12,2)", "timestamptz", "text", "date")
    columns = ", ".join(f"column_{number} {kinds[number % 5]}" for number in range(1590))
    source.execute(
        f"create table shop.events (id bigint primary key, updated_at timestamptz, {columns})",
        "insert into shop.events (id, updated_at, column_1, column_2) "
        "select g, now(), 'NaN', 'infinity' from generate_series(1, 3) g",
    )
    assert source.extract(chunk_rows=2).upserts == 3
    source.execute("insert into shop.events (id, updated_at) values (4, now())")
    assert source.extract().upserts == 1


def test_values_too_large_to_compare_are_landed_and_not_lost(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.postgres import known

    monkeypatch.setattr(known, "_memory_limit", lambda: 24 << 20)
    source.execute(
        "create table shop.events (id bigint primary key, label text, updated_at timestamptz)",
        "insert into shop.events select g, repeat(md5(g::text), 500000), now() "
        "from generate_series(1, 2) g",
    )
    source.extract()
    # Landed twice at most: then the block is known by its fingerprint.
    assert source.extract().rows in (0, 2)
    assert source.extract().rows == 0
    source.execute("insert into shop.events values (3, 'x', now())")
    assert source.extract().upserts in (1, 3)
    assert source.current("id, md5(label)") == source.query(
        "select id, md5(label) from shop.events order by id"
    )
    assert source.extract().rows == 0


# Whatever a type accepts of these is tried: nobody has to know the types of a server.
CANDIDATES = [
    "0", "1", "-7", "1.5", "NaN", "Infinity", "-Infinity", "t", "a", "", "{}", "{1,NULL}", "{a,b}",
    "(1,2)", "((1,2),(3,4))", "<(1,2),3>", "{1,2,3}", "[(1,2),(3,4)]", "[1,5)", "empty", "{[1,5)}",
    "2024-02-29", "2024-02-29 23:59:59.999999", "2024-11-03 01:30:00-07", "infinity", "-infinity",
    "4713-01-01 BC", "24:00:00", "04:05:06.789+02", "1 year -2 mons 3 days 04:05:06.7", "B101",
    "10101", "127.0.0.1", "::1/128", "10.0.0.0/8", "08:00:2b:01:02:03", "08:00:2b:01:02:03:04:05",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "[1, {\"a\": null}]", "\"text\"", "<a>b</a>", "$.a[*]",
    "\\xdeadbeef", "16/B374D848", "10:20:10,14,15", "'cat' & 'dog'", "'a':1 'b':2", "pg_class",
    "now", "+(int4,int4)", "int4pl(int4,int4)", "english", "postgres", "pg_catalog", "=r/postgres",
    "(0,1)", "1,2", "$1,234.50", "[2024-01-01,2024-02-01)", "{[2024-01-01,2024-02-01)}", "ünï ✓",
]  # fmt: skip


@pytest.mark.guard
def test_every_type_of_the_server_lands_as_it_says_itself(source: Source) -> None:
    types = [
        row[0]
        for row in source.query(
            "select format_type(t.oid, null) from pg_type t "
            "left join pg_type e on e.oid = t.typelem "
            "where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'r', 'm') "
            "and coalesce(e.typrelid, 0) = 0 and coalesce(e.typtype, 'b') <> 'p' and t.typname !~ "
            "'^_?(pg_(node|ndistinct|dependencies|mcv|brin|ddl)|gtsvector|xml|reg)' "
            "order by t.oid"
        )
    ]
    domains = [f"create domain shop.d{n} as {t}" for n, t in enumerate(types) if "[]" not in t]
    composite = "create type shop.pair as (a int, b text, c timestamptz[])"
    source.execute(composite, "create type shop.mood as enum ('so so', 'ça va')", *domains)
    types += [line.split()[2] for line in domains] + ["shop.pair", "shop.pair[]", "shop.mood"]
    columns = {f"c{number}": pg_type for number, pg_type in enumerate(types)}
    declared = ", ".join(f"{name} {pg_type}" for name, pg_type in columns.items())
    source.execute(f"create table shop.events ({HEAD}, {declared})")
    extra = ["so so", '(1,"a b","{2024-01-01}")', '{"(1,a,)"}']
    with psycopg.connect(source.dsn, autocommit=True) as connection:
        for number, text in enumerate([*CANDIDATES, *extra], start=1):
            valid = connection.execute(
                "select array_agg(n) from unnest(%s::text[], %s::text[]) as t(n, pg_type) "
                "where pg_input_is_valid(%s, pg_type)",
                (list(columns), list(columns.values()), text),
            ).fetchone()
            names = (valid[0] if valid else None) or []
            places = ", ".join(f"{name} = %s" for name in names)
            connection.execute("insert into shop.events (id) values (%s)", (number,))
            if places:
                update = f"update shop.events set {places} where id = %s"
                connection.execute(update.encode(), (*[text] * len(names), number))
    source.extract(reconcile=True)
    shown = ", ".join(f"{name}::text" for name in columns)
    expected = source.query(f"select {shown} from shop.events order by id")
    beside = [json.loads(text or "{}") for text in column(source, "_unrepresentable").to_pylist()]
    filled = set()
    for place, (name, pg_type) in enumerate(columns.items()):
        landed = column(source, name)
        for row, value, odd in zip(expected, landed.to_pylist(), beside, strict=True):
            if row[place] is not None:
                filled.add(pg_type)
            if pa.types.is_floating(landed.type):
                assert (value is None) == (row[place] is None)
                continue
            text = odd.get(name) if value is None else postgres_text(value)
            assert text == row[place], (pg_type, row[place])
    assert len(filled) > 150
    assert source.extract(full=True, reconcile=True).ranges == ()
    assert source.extract(full=True).rows == 0


def test_a_types_own_cast_to_text_does_not_come_between(source: Source) -> None:
    source.execute(
        "create type shop.mood as enum ('a', 'b')",
        "create function shop.shout(shop.mood) returns text language sql "
        "as $$ select upper(enum_out($1)::text) $$",
        "create cast (shop.mood as text) with function shop.shout(shop.mood)",
        f"create table shop.events ({HEAD}, v shop.mood)",
        "insert into shop.events (id, v) values (1, 'a')",
    )
    source.extract()
    (shown,) = source.query("select v::text from shop.events")[0]
    assert column(source).to_pylist() == [shown]
