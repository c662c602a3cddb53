"""The manifest is parsed when a file of the project changed, and only then."""

from pathlib import Path
from typing import Any

import pytest
from support.tiny_project import Tiny

from lakehouse.settings import Settings
from orchestration import dbt_manifest
from orchestration.dbt_manifest import DbtParseError, load_manifest


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replaces dbt; holds the arguments of each call."""
    calls: list[list[str]] = []

    def run_dbt(settings: Settings, args: list[str], **_: Any) -> int:
        calls.append(args)
        target = Path(args[args.index("--target-path") + 1])
        (target / "manifest.json").write_text(f'{{"parse": {len(calls)}}}')
        return 0

    monkeypatch.setattr(dbt_manifest, "run_dbt", run_dbt)
    return calls


def test_parsed_once_until_a_file_changes(tiny: Tiny, parsed: list[list[str]]) -> None:
    models = tiny.settings.dbt_dir / "models"
    assert load_manifest(tiny.settings) == {"parse": 1}
    assert load_manifest(tiny.settings) == {"parse": 1}
    (tiny.settings.dbt_dir / "target").mkdir()
    (tiny.settings.dbt_dir / "target" / "manifest.json").write_text("{}")
    assert load_manifest(tiny.settings) == {"parse": 1}, "what dbt writes is no change"
    (models / "bystander.sql").write_text("select 2 as one")
    assert load_manifest(tiny.settings) == {"parse": 2}
    (models / "bystander.sql").unlink()
    assert load_manifest(tiny.settings) == {"parse": 3}, "a removed file is a change"


def test_nothing_is_written_into_the_dbt_project(tiny: Tiny, parsed: list[list[str]]) -> None:
    before = sorted(tiny.settings.dbt_dir.rglob("*"))
    load_manifest(tiny.settings)
    assert sorted(tiny.settings.dbt_dir.rglob("*")) == before


def test_a_broken_project_is_told_in_one_sentence(tiny: Tiny) -> None:
    (tiny.settings.dbt_dir / "models" / "broken.sql").write_text("select * from {{ ref('no') }}")
    with pytest.raises(DbtParseError, match=r"depends on a node named 'no'.*Next: correct it"):
        load_manifest(tiny.settings)
    (tiny.settings.dbt_dir / "models" / "broken.sql").unlink()
    assert "nodes" in load_manifest(tiny.settings)
