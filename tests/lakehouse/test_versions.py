"""Which version readers see: told by the published file itself, whatever was copied or removed."""

import os
import shutil
import subprocess
from dataclasses import replace

import duckdb
import pytest
from support.builds import publish_build, published_build, seen_build

from lakehouse.publishing import current_version, list_versions, rollback
from lakehouse.settings import Settings
from lakehouse.status import collect


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every hard link fail, as on a file system that has none."""

    def refuses(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuses)


@pytest.mark.parametrize("copy", [["cp", "-r"], ["cp", "-a"]])
def test_a_copied_checkout_knows_its_version(settings: Settings, copy: list[str]) -> None:
    publish_build(settings, 1)
    rolled_back_from = publish_build(settings, 2).version
    rollback(settings)
    there = replace(settings, root=settings.root.with_name("elsewhere"))
    subprocess.run([*copy, str(settings.root), str(there.root)], check=True)
    assert current_version(there).id == current_version(settings).id != rolled_back_from
    assert [v.is_current for v in list_versions(there)] == [False, True]
    assert collect(there).is_rolled_back
    publish_build(there, 2)
    assert (published_build(there), seen_build(there)) == (1, 1)
    publish_build(there, 3)
    assert (published_build(there), seen_build(there)) == (3, 3)


def test_a_published_file_whose_versions_were_removed_is_still_the_published_version(
    settings: Settings,
) -> None:
    version = publish_build(settings, 1).version
    shutil.rmtree(settings.versions_dir)
    assert current_version(settings).id == version
    assert published_build(settings) == 1
    publish_build(settings, 1)
    assert current_version(settings) == list_versions(settings)[0]


def test_without_hard_links_a_session_on_the_published_name_does_not_hide_the_new_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_links(monkeypatch)
    publish_build(settings, 1)
    with duckdb.connect(str(settings.published_file), read_only=True):
        newest = publish_build(settings, 2).version
        assert current_version(settings).id == newest
        assert published_build(settings) == 2
