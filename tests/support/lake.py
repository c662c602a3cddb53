"""A project root without dbt for tests of the command line: raw commits and published versions.

Here belongs making what the commands look at. Here does not belong running dbt.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse.dbt import freeze, run_notes
from lakehouse.publishing import list_versions
from lakehouse.publishing.publish import publish
from lakehouse.raw import CommitWriter, RawTable, new_batch_id, raw_schema
from lakehouse.settings import Settings

LAKE = Path(sys.executable).with_name("lake")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCHEMA = raw_schema(pa.schema([("id", pa.int64())]))
DEFAULT_TABLES = {"marts.fct_sales": 3, "quarantine.quarantine_shop__customers": 1}
ACCOUNTING = "quarantine.accounting_shop"


@dataclass(frozen=True, slots=True)
class Root:
    """A root in a temporary folder."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command in this root, free of the caller's own settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LAKE_", "DBT_"))}
        return {**kept, "LAKE_ROOT": str(self.settings.root), "COLUMNS": "80"}

    def lake(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the real command to its end."""
        return subprocess.run(
            [str(LAKE), *arguments],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def land(self, rows: int, *, table: str = "customers", watermark: str = "w1") -> str:
        """Land one commit and return its batch id."""
        raw = RawTable(self.settings.raw_dir, "shop", table)
        commits = raw.commits()
        batch_id = new_batch_id(commits[-1].stem if commits else None)
        values: list[list[object]] = [list(range(rows)), [batch_id] * rows, ["upsert"] * rows]
        values += [[NOW] * rows, [None] * rows]
        data = [pa.array(v, f.type) for v, f in zip(values, SCHEMA, strict=True)]
        with CommitWriter(raw, SCHEMA, batch_id) as writer:
            writer.write(pa.table(data, SCHEMA))
            writer.commit(
                kind="incremental",
                writer="test/1",
                extracted_at=NOW,
                upserts=rows,
                watermark_after=watermark,
            )
        return batch_id

    def publish(
        self,
        tables: Mapping[str, int] = DEFAULT_TABLES,
        *,
        clean: int | None = None,
        quarantined: int = 0,
    ) -> str:
        """Publish tables with so many rows, made from every landed commit; returns the version.

        Args:
            tables: ``schema.table`` to rows.
            clean: Current rows of the customers that break no rule; None publishes no accounting.
            quarantined: Those that break one.
        """
        self.settings.build_dir.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(self.settings.build_file)) as connection:
            run_notes.ensure_tables(connection)
            run = run_notes.begin_run(connection, "code")
            freeze.freeze_commits(connection, self.settings.raw_dir, [("shop", "customers")], run)
            for name, rows in tables.items():
                connection.execute(f"create schema if not exists {name.split('.')[0]}")
                connection.execute(
                    f"create or replace table {name} as select range as id from range({rows})"
                )
            connection.execute("create schema if not exists quarantine")
            if clean is not None:
                tables = {**tables, ACCOUNTING: 1}
                connection.execute(
                    f"create or replace table {ACCOUNTING} as select 'shop' as source_name,"
                    f" 'customers' as table_name, {clean} as clean_rows,"
                    f" {quarantined} as quarantined_rows"
                )
            publish(
                connection,
                self.settings,
                schemas=sorted({name.split(".")[0] for name in tables}),
                tables=[(name.split(".")[0], name.split(".")[1]) for name in tables],
                invocation_id="test",
            )
        return list_versions(self.settings)[0].id


def make_package(folder: Path, name: str, version: str, entry_points: str = "") -> Path:
    """Write a distribution's metadata into a folder that can be put on ``sys.path``."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)
    return folder


def wait_line(process: "subprocess.Popen[str]", text: str) -> None:
    """Read a process's output until a line says this."""
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), f"it ended without saying {text!r}"
