"""Rows and columns come from the build, or from the published version while somebody builds."""

import time
from pathlib import Path

import duckdb
import pytest
from support.tiny_project import make_tiny

from lakehouse.locks import file_lock
from lakehouse.settings import Settings
from orchestration import table_facts
from orchestration.table_facts import TableFacts, read_facts

PRIVATE, PUBLIC = ("base", "base_customers"), ("marts", "members")


def test_nothing_was_built(tmp_path: Path) -> None:
    assert read_facts(Settings(root=tmp_path), [PUBLIC], purpose="a test") == {}


def test_tables_views_and_missing_ones(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    settings.build_dir.mkdir(parents=True)
    with duckdb.connect(str(settings.build_file)) as connection:
        connection.execute("create table t as select 1::integer as one from range(3)")
        connection.execute("comment on column t.one is 'Always 1.'")
        connection.execute("create view v as select 'x' as letter")
    names = [("main", "t"), ("main", "v"), ("main", "missing")]
    assert read_facts(settings, names, purpose="a test") == {
        ("main", "t"): TableFacts(3, (("one", "INTEGER", "Always 1."),)),
        ("main", "v"): TableFacts(None, (("letter", "VARCHAR", None),)),
    }


def test_while_somebody_builds_the_published_tables_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = make_tiny(Settings(root=tmp_path))
    tiny.dbt("build")
    monkeypatch.setattr(table_facts, "_PATIENCE_SECONDS", 0.1)
    with file_lock(tiny.settings.build_lock, purpose="a long build"):
        started = time.monotonic()
        facts = read_facts(tiny.settings, [PRIVATE, PUBLIC], purpose="a test")
        assert time.monotonic() - started < 60, "it does not wait for the build"
    assert set(facts) == {PUBLIC}
    assert set(read_facts(tiny.settings, [PRIVATE, PUBLIC], purpose="a test")) == {PRIVATE, PUBLIC}
