"""One step a source: what one cannot read is no other one's trouble."""

from pathlib import Path

import dagster as dg
import psycopg
import pytest

from ingest.sources import load_sources
from lakehouse.raw import RawTable
from lakehouse.settings import Settings
from orchestration.raw_assets import build_raw_assets

LISTED = """
sources:
  - {name: gone, schema: a, tables: [{name: x, cursor: updated_at}]}
  - name: there
    dsn_env: LAKE_SOURCE_THERE_DSN
    schema: "S Ü"
    tables: [{name: good, table: "Good one", cursor: updated_at}]
"""


def test_a_source_that_does_not_answer_fails_alone(
    pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ingest").mkdir()
    (tmp_path / "ingest" / "sources.yml").write_text(LISTED)
    with psycopg.connect(pg_dsn, autocommit=True) as connection:
        connection.execute('create schema "S Ü"')
        connection.execute(
            'create table "S Ü"."Good one" (id int primary key, updated_at timestamptz)'
        )
        connection.execute('insert into "S Ü"."Good one" values (1, now())')
    monkeypatch.setenv("LAKE_SOURCE_THERE_DSN", pg_dsn)
    settings = Settings(root=tmp_path, source_dsn="postgresql://me:hunter2@127.0.0.1:1/x")
    assets = build_raw_assets(settings, load_sources(settings))
    assert [one.op.name for one in assets] == ["extract_gone", "extract_there"]
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize(assets, instance=instance, raise_on_error=False)
    assert not run.success
    keys = {e.asset_key.to_user_string() for e in run.get_asset_materialization_events()}
    assert keys == {"raw/there/good"}
    assert len(RawTable(settings.raw_dir, "there", "good").commits()) == 1
    assert "hunter2" not in " ".join(str(event) for event in run.all_events)
