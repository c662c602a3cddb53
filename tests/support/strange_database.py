"""A database that nobody here would have designed: its names, its types, and what must arrive.

Here belong the SQL that makes it, and comparing its rows with those of staging models. Here does
not belong extracting or building.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg import sql

from ingest.postgres.types import identifier, postgres_text

LONG = "ein_sehr_langer_Name_mit_Umlaut_ä_der_dreiundsechzig_Byte_hat_"
assert len(LONG.encode()) == 63

SMALL = (Path(__file__).parent / "strange_small.sql").read_text(encoding="utf-8")
_LARGE = (Path(__file__).parent / "strange_large.sql").read_text(encoding="utf-8")

_TYPES = {
    "smallint": ("-32768", "32767"),
    "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
    "numeric(1,0)": ("9", "-9"),
    "numeric(18,9)": ("123456789.123456789", "NaN"),
    "numeric(38,10)": ("1234567890123456789012345678.0123456789", "0"),
    "numeric(50,20)": ("123456789012345678901234567890.00000000000000000001", "1"),
    "numeric": ("0.10", "1e30"),
    "real": ("3.1415927", "Infinity"),
    "double precision": ("0.1", "NaN"),
    "money": ("12.34", "-0.01"),
    "boolean": ("true", "false"),
    "text": ("line\nbreak, 'quote' \\ backslash", ""),
    "varchar(10)": ("ten chars!", " "),
    "char(5)": ("ab", ""),
    '"char"': ("x", "y"),
    "name": ("pg_name", ""),
    "bytea": ("\\x00ff", "\\x"),
    "date": ("0001-01-01", "infinity"),
    "time": ("23:59:59.999999", "24:00:00"),
    "timetz": ("12:00:00+02", "00:00:00-11"),
    "timestamp": ("9999-12-31 23:59:59.999999", "-infinity"),
    "timestamptz": ("2024-10-27 02:30:00+02", "0044-03-15 12:00:00+00 BC"),
    "timestamptz(0)": ("2024-01-01 00:00:01+00", "2024-01-01 00:00:02+00"),
    "interval": ("1 year 2 mons 3 days 04:05:06.7", "-1 days"),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"),
    "json": ('{"b":1,  "a":2}', "null"),
    "jsonb": ('{"b":1,  "a":[1.50]}', '"x"'),
    "inet": ("10.0.0.1/8", "::1"),
    "cidr": ("10.0.0.0/8", "::/0"),
    "macaddr": ("08:00:2b:01:02:03", "00:00:00:00:00:00"),
    "bit(3)": ("101", "000"),
    "bit varying": ("1011", ""),
    "point": ("(1,2.5)", "(0,0)"),
    "box": ("(1,1),(0,0)", "(2,2),(0,0)"),
    "polygon": ("((0,0),(1,1),(1,0))", "((0,0))"),
    "circle": ("<(0,0),1>", "<(1,2),3>"),
    "tsvector": ("'a':1 'b':2", ""),
    "tsquery": ("'a' & 'b'", ""),
    "int4range": ("[1,5)", "empty"),
    "tstzrange": ("[2024-01-01 00:00:00+00,)", "(,)"),
    "int4multirange": ("{[1,3),[5,7)}", "{}"),
    "integer[]": ("{1,NULL,3}", "{}"),
    "text[]": ('{"a,b","c\\"d"}', "{NULL}"),
    "numeric(6,2)[]": ("{1.50,2.00}", "{{1.00},{2.00}}"),
    "oid": ("4294967295", "0"),
    "regclass": ("pg_class", "pg_type"),
    "pg_lsn": ("16/B374D848", "0/0"),
    "hstrange.mood": ("sad, maybe", "happy"),
    "hstrange.pair": ('(1,"a,b")', "(,)"),
    "hstrange.positive": ("7", "1"),
    "hstrange.cents": ("1.50", "2.00"),
}


def large() -> str:
    """SQL of the large one: every type and name that we could think of."""
    with duckdb.connect() as engine:
        keywords = [name for (name,) in engine.execute(
            "select distinct keyword_name from duckdb_keywords() order by 1"
        ).fetchall()]  # fmt: skip
    columns = ", ".join(f"{identifier(f't{n} {kind}')} {kind}" for n, kind in enumerate(_TYPES))
    rows = ", ".join(
        f"({key}, {', '.join(_literal(values[key]) for values in _TYPES.values())}, now())"
        for key in (0, 1)
    )
    nothing = f"(2, {', '.join(['null'] * len(_TYPES))}, now())"
    words = ", ".join(f'"{word}" int' for word in keywords)
    filled = {
        "columns": columns,
        "rows": rows,
        "nothing": nothing,
        "words": words,
        "long": LONG,
        "short": LONG[:-1],
    }
    text = _LARGE
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    return SMALL + text


def rows_there(dsn: str, origin: tuple[str, str]) -> list[dict[str, str | None]]:
    """Every row of a table, each value as PostgreSQL's own text."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name, value in _SESSION.items():
            connection.execute(sql.SQL("set {} = {}").format(sql.Identifier(name), value))
        names = [
            str(name)
            for (name,) in connection.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
                " and not attisdropped order by attnum",
                [sql.Identifier(*origin).as_string()],
            )
        ]
        texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(n)) for n in names)
        query = sql.SQL("select {} from {}").format(texts, sql.Identifier(*origin))
        found = connection.execute(query).fetchall()
        return [dict(zip(names, row, strict=True)) for row in found]


_SESSION = {"timezone": "UTC", "extra_float_digits": "1", "intervalstyle": "postgres"}


def rows_here(
    engine: duckdb.DuckDBPyConnection, model: str, raw_names: Mapping[str, str]
) -> list[dict[str, str | None]]:
    """Every live row of a staging model under its columns' own names, each value as text.

    A value that no type here can hold is taken from ``_unrepresentable``, with which such a row
    goes to quarantine.

    Args:
        engine: Connected to the build file.
        model: The model.
        raw_names: Column of the model to its name in PostgreSQL.
    """
    engine.execute("set TimeZone = 'UTC'")
    described = engine.execute(f"select column_name, column_type from (describe staging.{model})")
    types = dict(described.fetchall())
    columns = ", ".join(
        f'"{name}"::varchar' if types[name] in _FLOATS else f'"{name}"' for name in raw_names
    )
    found = engine.execute(
        f"select {columns}, _unrepresentable, broken_rules from staging.{model}"
        " where not is_deleted"
    ).fetchall()
    rows = []
    for *values, unrepresentable, broken in found:
        kept: dict[str, str] = json.loads(unrepresentable or "{}")
        assert bool(kept) == (broken == "value_not_representable"), broken
        row = {
            raw: _float(value) if types[name] in _FLOATS else _text(value)
            for (name, raw), value in zip(raw_names.items(), values, strict=True)
        }
        assert all(row[name] is None for name in kept), "nothing is altered"
        rows.append({**row, **kept})
    return rows


_FLOATS = ("FLOAT", "DOUBLE")


def canonical(rows: list[dict[str, str | None]]) -> list[str]:
    """Rows in an order of their own."""
    return sorted(json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)


def _text(value: Any) -> str | None:
    return None if value is None else postgres_text(value)


def _float(text: str | None) -> str | None:
    """DuckDB's text of a float as PostgreSQL writes it."""
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return None if text is None else special.get(text, text.removesuffix(".0"))


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
