"""A source database in a test, its extraction, and what raw then holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from ingest.postgres import ExtractReport, extract_tables
from ingest.sources import TableSpec, parse_lookback, select_tables
from lakehouse.raw import CommitInfo, RawTable
from lakehouse.settings import Settings

EVENTS = """
create schema shop;
create table shop.events (
    id bigint primary key,
    label text,
    updated_at timestamptz default now()
);
create index on shop.events (updated_at);
"""


def spec(name: str = "events", **declared: Any) -> TableSpec:
    """A declaration of a table, with a lookback of zero unless told."""
    declared["lookback"] = parse_lookback(declared.get("lookback", "0s"))
    defaults = {"primary_key": ("id",), "cursor": "updated_at", "clock": "database"}
    return TableSpec(source="shop", schema="shop", name=name, **{**defaults, **declared})


@dataclass
class Source:
    """A database and the folder into which it is extracted."""

    dsn: str
    root: Path
    specs: list[TableSpec] = field(default_factory=lambda: [spec()])

    @property
    def settings(self) -> Settings:
        return Settings(root=self.root, source_dsn=self.dsn)

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql.encode()).fetchall()

    def extract(self, *tables: str, **options: Any) -> ExtractReport:
        """Extract and give the first table's report."""
        return self.extract_all(*tables, **options)[0]

    def extract_all(self, *tables: str, **options: Any) -> list[ExtractReport]:
        chosen = select_tables(self.specs, tables)
        return extract_tables(self.settings, self.dsn, chosen, **options)

    def raw(self, table: str = "events") -> RawTable:
        return RawTable(self.settings.raw_dir, "shop", table)

    def infos(self, table: str = "events") -> list[CommitInfo]:
        return self.raw(table).infos()

    def landed(self, columns: str = "*", table: str = "events", end: str = "") -> list[Any]:
        """What DuckDB reads from all commits of a table."""
        files = [str(path) for path in self.raw(table).commits()]
        with duckdb.connect() as engine:
            engine.execute("set TimeZone = 'UTC'")
            sql = f"select {columns} from read_parquet(?, union_by_name = true) {end}"
            return engine.execute(sql, [files]).fetchall()

    def current(self, columns: str = "id", table: str = "events", key: str = "id") -> list[Any]:
        """What the latest versions say: the rows that staging would show as live."""
        files = [str(path) for path in self.raw(table).commits()]
        with duckdb.connect() as engine:
            engine.execute("set TimeZone = 'UTC'")
            sql = f"""
                select {columns} from (
                    select * from read_parquet(?, union_by_name = true)
                    qualify row_number() over (partition by {key} order by _batch_id desc) = 1
                ) where _op = 'upsert' order by {key}
            """
            return engine.execute(sql, [files]).fetchall()

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Every file in raw: its time of change and its bytes."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(self.settings.raw_dir.rglob("*"))
            if path.is_file()
        }
