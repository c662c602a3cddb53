"""Which version readers see: told by the published file itself, whatever was copied or removed."""

import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from support.builds import (
    an_hour_later,
    leftovers,
    publish_build,
    published_build,
    seen_build,
    without_links,
)

from lakehouse.publishing import current_version, find_version, list_versions, rollback, switch
from lakehouse.publishing.versions import version_path
from lakehouse.settings import Settings
from lakehouse.status import collect

HEADER, BLOCK = 3 * 4096, 256 * 1024
"""Sizes in a DuckDB file."""

READER = """
import sys, pathlib
from lakehouse.publishing import current_version, find_version, list_versions, open_published
from lakehouse.settings import Settings
from lakehouse.status import collect
import duckdb
settings, stop = Settings(root=pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])
reads, errors = 0, []
while not stop.exists():
    reads += 1
    try:
        with open_published(settings) as connection:
            connection.execute('select count(*) from marts.twins').fetchone()
        version = current_version(settings)
        with duckdb.connect(str(find_version(settings, version.id)), read_only=True):
            pass
        assert collect(settings).published
        assert list_versions(settings)
    except Exception as error:
        errors.append(repr(error)[:300])
print(reads, len(errors), errors[:3])
"""


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


def test_a_published_file_that_was_removed_comes_back_although_somebody_had_rolled_back(
    settings: Settings,
) -> None:
    publish_build(settings, 1)
    publish_build(settings, 2)
    rollback(settings)
    settings.published_file.unlink()
    publish_build(settings, 2)
    assert (published_build(settings), seen_build(settings)) == (2, 2)


def test_a_newest_version_with_a_damaged_block_is_replaced(settings: Settings) -> None:
    version = str(publish_build(settings, 200_000).version)
    size = version_path(settings, version).stat().st_size
    for start in range(HEADER, size, BLOCK):
        damaged = replace(settings, root=settings.root.with_name(f"damaged_{start}"))
        subprocess.run(["cp", "-a", str(settings.root), str(damaged.root)], check=True)
        path = version_path(damaged, version)
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(start + 100)
            file.write(b"\xff" * 1000)
        publish_build(damaged, 200_000)
        assert seen_build(damaged) == 200_000


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


@pytest.mark.parametrize("links", [True, False])
def test_a_published_file_that_was_damaged_is_named_and_replaced(
    settings: Settings, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        without_links(monkeypatch)
    publish_build(settings, 1)
    publish_build(settings, 2)
    settings.published_file.chmod(0o644)
    with settings.published_file.open("r+b") as file:
        file.write(bytes(100))
    with pytest.raises(Exception, match=r"cannot be read.*Next: "):
        current_version(settings)
    rollback(settings)
    assert seen_build(settings) == published_build(settings) == (1 if links else 2)
    publish_build(settings, 3)
    assert seen_build(settings) == published_build(settings) == 3


def test_with_one_version_to_keep_nobody_who_is_opening_it_loses_it(
    settings: Settings, tmp_path: Path
) -> None:
    one = replace(settings, keep_versions=1)
    publish_build(one, 0)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(one.root), str(stop)]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    for number in range(1, 31):
        publish_build(one, number)
        an_hour_later(one, but_for=6)
    stop.touch()
    for reader in readers:
        output, _ = reader.communicate(timeout=60)
        reads, errors, said = output.split(maxsplit=2)
        assert int(reads) > 0, output
        assert int(errors) == 0, said
    assert len(list_versions(one)) < 10


def test_what_nobody_can_be_opening_any_more_is_removed_also_by_an_idle_build(
    settings: Settings,
) -> None:
    one = replace(settings, keep_versions=1)
    first = publish_build(one, 1).version
    second = publish_build(one, 2).version
    assert [v.id for v in list_versions(one)] == [second, first]
    an_hour_later(one)
    publish_build(one, 2)
    assert [v.id for v in list_versions(one)] == [second]
    an_hour_later(one)
    publish_build(one, 3)
    rollback(one)
    an_hour_later(one)
    third = list_versions(one)[0].id
    fourth = publish_build(one, 4).version
    assert [v.id for v in list_versions(one)] == [fourth, second], "readers have just left it"
    assert third is not None
    with pytest.raises(Exception, match="no version"):
        find_version(one, third)
    assert leftovers(one) == []


def test_versions_never_fill_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their size together, and by what the disk has left; the last two stay."""
    many = replace(settings, keep_versions=100)
    ids = [publish_build(many, number).version for number in range(1, 6)]
    size = list_versions(many)[0].size_bytes
    an_hour_later(many)
    assert len(list_versions(many)) == 5

    monkeypatch.setattr(switch, "_GB", size)
    switch.remove_surplus(replace(many, keep_versions_gb=4))
    assert [v.id for v in list_versions(many)] == ids[:0:-1]

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 * size, 100 * size, size // 2))
    switch.remove_surplus(many)
    assert [v.id for v in list_versions(many)] == ids[:1:-1], "one had to go for the next"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 * size, 100 * size, 0))
    switch.remove_surplus(many)
    switch.remove_surplus(replace(many, keep_versions_gb=1))
    assert [v.id for v in list_versions(many)] == ids[:2:-1]
    assert published_build(many) == 5
