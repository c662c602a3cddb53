"""A dbt project of two tables over one raw source, with the real macros, hooks and plugin."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from lakehouse.raw import CommitWriter, RawTable, new_batch_id, raw_schema
from lakehouse.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
DBT = Path(sys.executable).with_name("dbt")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SCHEMA = raw_schema(pa.schema([("id", pa.int64())]))

FILES = {
    "dbt_project/models/tiny.yml": """
sources:
  - name: shop
    tables:
      - name: customers
        columns: [{name: id, data_type: bigint}]
models:
  - name: base_customers
  - name: members
    columns: [{name: id, data_tests: [unique, not_null]}]
  - name: bystander
    columns: [{name: one, data_tests: [unique]}]
unit_tests:
  - name: one_is_one
    model: bystander
    given: []
    expect: {rows: [{one: 1}]}
""",
    "dbt_project/models/base_customers.sql": """
{{ config(materialized='incremental', schema='base', incremental_strategy='append') }}
select * from {{ new_commits('shop', 'customers') }}
""",
    "dbt_project/models/members.sql": """
{{ config(materialized='incremental', schema='marts', incremental_strategy='append') }}
select id from {{ ref('base_customers') }}
{% if is_incremental() %} where {{ is_new_commit() }} {% endif %}
""",
    "dbt_project/models/bystander.sql": """
{{ config(materialized='table', schema='marts') }} select 1 as one
""",
    "dbt_project/macros/generate_schema_name.sql": """
{% macro generate_schema_name(custom_schema_name, node) %}
    {{- custom_schema_name or target.schema -}}
{% endmacro %}
""",
}


@dataclass(frozen=True, slots=True)
class Tiny:
    """A dbt project of two tables over one raw source, with the real macros and hooks."""

    settings: Settings

    @property
    def table(self) -> RawTable:
        return RawTable(self.settings.raw_dir, "shop", "customers")

    def land(self, *ids: int | None, source: str = "shop", table: str = "customers") -> Path:
        """Land one commit with these ids."""
        raw = RawTable(self.settings.raw_dir, source, table)
        commits = raw.commits()
        batch_id = new_batch_id(commits[-1].stem if commits else None)
        n = len(ids)
        columns: list[Sequence[object]] = [ids, [batch_id] * n, ["upsert"] * n, [NOW] * n]
        columns.append([None] * n)
        data = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
        with CommitWriter(raw, SCHEMA, batch_id) as writer:
            writer.write(pa.table(data, SCHEMA))
            writer.commit(kind="incremental", writer="test/1", extracted_at=NOW, upserts=n)
        return raw.path_of(batch_id)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start dbt from the project's folder, as a user would, without any variable of ours."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LAKE_", "DBT_"))}
        return subprocess.Popen(
            [str(DBT), "--no-use-colors", *arguments],
            cwd=self.settings.dbt_dir,
            env={**clean, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def dbt(self, *arguments: str, fails: bool = False, **environment: str) -> str:
        """Run dbt to its end and return what it printed."""
        process = self.start(*arguments, **environment)
        output, _ = process.communicate(timeout=120)
        assert bool(process.returncode) == fails, output
        return output


def make_tiny(settings: Settings) -> Tiny:
    """Write the project's files below the root of these settings."""
    for name, text in FILES.items():
        path = settings.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project = REPOSITORY / "dbt_project"
    shutil.copy(project / "profiles.yml", settings.dbt_dir)
    for part in ("incremental", "publish", "raw"):
        shutil.copytree(project / "macros" / part, settings.dbt_dir / "macros" / part)
    (settings.dbt_dir / "dbt_project.yml").write_text(
        "name: lakehouse\nversion: '1.0.0'\nprofile: lakehouse\n"
        "flags: {send_anonymous_usage_stats: false, skip_nodes_if_on_run_start_fails: true}\n"
        "vars: {published_schemas: [marts]}\n"
        'models: {+post-hook: "{{ note_commits() }}"}\n'
        'on-run-start: "{{ start_run() }}"\non-run-end: "{{ end_run(results) }}"\n'
    )
    return Tiny(settings)


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition; the tests' own time limit ends a wait that never would."""
    while not condition():
        time.sleep(0.02)
