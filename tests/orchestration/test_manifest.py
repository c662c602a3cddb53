"""The manifest is parsed when a file of the project changed, and only then."""

from pathlib import Path
from typing import Any

import pytest
from support.tiny_project import make_tiny

from lakehouse.settings import Settings
from orchestration import dbt_manifest
from orchestration.dbt_manifest import DbtParseError, load_manifest


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_tiny(Settings(root=tmp_path)).settings


@pytest.fixture
def dbt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces dbt; the manifest says how often it was called."""
    calls: list[list[str]] = []

    def run_dbt(settings: Settings, args: list[str], **_: Any) -> int:
        calls.append(args)
        target = Path(args[args.index("--target-path") + 1])
        (target / "manifest.json").write_text(f'{{"parse": {len(calls)}}}')
        return 0

    monkeypatch.setattr(dbt_manifest, "run_dbt", run_dbt)


@pytest.mark.usefixtures("dbt")
def test_parsed_once_until_a_file_changes(settings: Settings) -> None:
    model = settings.dbt_dir / "models" / "bystander.sql"
    assert load_manifest(settings) == {"parse": 1}
    assert load_manifest(settings) == {"parse": 1}
    (settings.dbt_dir / "target").mkdir()
    (settings.dbt_dir / "target" / "manifest.json").write_text("{}")
    assert load_manifest(settings) == {"parse": 1}, "what dbt writes is no change"
    model.write_text("select 2 as one")
    assert load_manifest(settings) == {"parse": 2}
    model.unlink()
    assert load_manifest(settings) == {"parse": 3}, "a removed file is a change"


@pytest.mark.usefixtures("dbt")
def test_nothing_is_written_into_the_dbt_project(settings: Settings) -> None:
    before = sorted(settings.dbt_dir.rglob("*"))
    load_manifest(settings)
    assert sorted(settings.dbt_dir.rglob("*")) == before


def test_a_broken_project_is_told_in_one_sentence(settings: Settings) -> None:
    broken = settings.dbt_dir / "models" / "broken.sql"
    broken.write_text("select * from {{ ref('no') }}")
    with pytest.raises(DbtParseError, match=r"depends on a node named 'no'.*Next: correct it"):
        load_manifest(settings)
