"""Versions: whole, immutable, never in the way, and surviving a kill at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.builds import (
    an_hour_later,
    build_file,
    leftovers,
    publish_build,
    publish_numbers,
    published_build,
    without_links,
)

from lakehouse.publishing import (
    NoVersionError,
    current_version,
    find_version,
    list_versions,
    open_published,
    rollback,
)
from lakehouse.publishing.publish import publish
from lakehouse.settings import Settings

READER = """
import sys, duckdb
path, stop = sys.argv[1:3]
import pathlib
seen = 0
while not pathlib.Path(stop).exists():
    with duckdb.connect(path, read_only=True) as first:
        for _ in range(3):
            rows = first.execute(
                'select (select any_value(build) from marts.numbers),'
                ' (select any_value(build) from marts.twins),'
                ' (select count(*) from marts.numbers), (select count(*) from marts.twins)'
            ).fetchone()
            assert rows[0] == rows[1] and rows[2] == rows[3] == 1000 + rows[0], rows
            seen += 1
print(seen)
"""

PUBLISHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from lakehouse.settings import Settings
from support.builds import build, build_file, publish_numbers
settings = Settings(root=Path(sys.argv[1]), keep_versions=3)
number = int(sys.argv[3])
print('go', flush=True)
while True:
    number += 1
    with build_file(settings) as connection:
        build(connection, number)
        publish_numbers(connection, settings)
"""


def test_eight_readers_through_twenty_publishes_always_see_one_whole_version(
    settings: Settings, tmp_path: Path
) -> None:
    publish_build(settings, 0)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(settings.published_file), str(stop)]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for number in range(1, 21):
        publish_build(settings, number)
    stop.touch()
    for reader in readers:
        output, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors
        assert int(output) > 0
    assert published_build(settings) == 20


def test_an_open_session_keeps_its_version_and_a_new_one_in_the_same_process_gets_the_new(
    settings: Settings,
) -> None:
    publish_build(settings, 1)
    with open_published(settings) as old:
        publish_build(settings, 2)
        assert old.execute("select max(build) from marts.numbers").fetchone() == (1,)
        assert published_build(settings) == 2


def test_versions_beyond_the_number_to_keep_are_removed_but_not_from_under_a_reader(
    settings: Settings,
) -> None:
    publish_build(settings, 1)
    with open_published(settings) as reader:
        for number in range(2, 7):
            publish_build(settings, number)
            an_hour_later(settings)
        assert reader.execute("select count(*) from marts.twins").fetchone() == (1001,)
    versions = list_versions(settings)
    assert len(versions) == settings.keep_versions
    assert [v.is_current for v in versions] == [True, False, False]


def test_rollback_goes_back_one_by_one_and_forward_by_name(settings: Settings) -> None:
    for number in (1, 2, 3):
        publish_build(settings, number)
    newest = current_version(settings)
    assert rollback(settings).id < newest.id
    assert published_build(settings) == 2
    rollback(settings)
    assert published_build(settings) == 1
    with pytest.raises(NoVersionError, match="no version before"):
        rollback(settings)
    assert rollback(settings, newest.id[-6:]).is_current
    assert published_build(settings) == 3
    with pytest.raises(NoVersionError, match="lake versions"):
        find_version(settings, "nonsense")


def test_nothing_published_is_a_sentence(settings: Settings) -> None:
    with pytest.raises(NoVersionError, match="make demo"):
        open_published(settings)
    assert list_versions(settings) == []


def test_the_same_content_is_not_published_twice_but_a_changed_comment_or_type_is(
    settings: Settings,
) -> None:
    first = publish_build(settings, 1)
    assert publish_build(settings, 1).version == first.version
    with build_file(settings) as connection:
        connection.execute("comment on column marts.numbers.id is 'it''s a number'")
        second = publish_numbers(connection, settings)
        connection.execute("alter table marts.twins alter id type hugeint")
        third = publish_numbers(connection, settings)
    assert len({first.version, second.version, third.version}) == 3
    with open_published(settings) as connection:
        comment = connection.execute(
            "select comment from duckdb_columns() where table_name = 'numbers'"
            " and column_name = 'id'"
        ).fetchone()
    assert comment == ("it's a number",)


def test_constraints_and_odd_names_survive_publishing(settings: Settings) -> None:
    with build_file(settings) as connection:
        connection.execute('create schema "odd ""schema"')
        connection.execute(
            'create table "odd ""schema"."select" ("from" int not null check ("from" > 0))'
        )
        connection.execute('insert into "odd ""schema"."select" values (1)')
        tables = [('odd "schema', "select")]
        publish(connection, settings, schemas=[], tables=tables, invocation_id="x")
    with open_published(settings) as connection:
        ddl = connection.execute("select sql from duckdb_tables() where table_name = 'select'")
        assert "NOT NULL" in str(ddl.fetchone())


def test_a_stale_write_ahead_log_beside_the_published_file_is_removed(settings: Settings) -> None:
    publish_build(settings, 1)
    stale = settings.published_file.with_name("lakehouse.duckdb.wal")
    stale.write_bytes(b"stale")
    publish_build(settings, 2)
    assert not stale.exists()
    assert published_build(settings) == 2


def test_a_full_disk_during_the_copy_leaves_readers_with_their_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_build(settings, 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.publishing.publish.replace_atomically", full)
        with pytest.raises(OSError, match="No space"):
            publish_build(settings, 2)
    assert published_build(settings) == 1
    publish_build(settings, 3)
    assert published_build(settings) == 3
    assert leftovers(settings) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_of_publishing_leaves_a_whole_version_and_the_next_run_goes_on(
    settings: Settings, seed: int
) -> None:
    publish_build(settings, 0)
    tests = str(Path(__file__).parents[1])
    moment = random.Random(seed)
    for round_number in range(3):
        command = [sys.executable, "-c", PUBLISHER, str(settings.root), tests]
        victim = subprocess.Popen(
            [*command, str(round_number * 1000)], stdout=subprocess.PIPE, text=True
        )
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(moment.uniform(0.0, 0.5))
        os.kill(victim.pid, signal.SIGKILL)
        victim.communicate()
        with open_published(settings) as reader:
            rows = reader.execute(
                "select (select max(build) from marts.numbers), (select count(*) from marts.twins)"
            ).fetchone()
        assert rows is not None
        assert rows[1] == 1000 + rows[0]
    publish_build(settings, 99)
    assert published_build(settings) == 99
    assert leftovers(settings) == []


def test_a_publish_that_died_before_readers_saw_it_is_shown_by_the_next_build(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_build(settings, 1)

    def dies(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.publishing.publish.show", dies)
        with pytest.raises(SystemExit):
            publish_build(settings, 2)
    assert published_build(settings) == 1
    publish_build(settings, 2)
    assert published_build(settings) == 2


def test_a_file_system_without_hard_links_gets_copies(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_links(monkeypatch)
    publish_build(settings, 1)
    publish_build(settings, 2)
    assert published_build(settings) == 2
    assert current_version(settings).published_at <= datetime.now(UTC)
    rollback(settings)
    assert published_build(settings) == 1


def test_the_published_file_is_read_only(settings: Settings) -> None:
    publish_build(settings, 1)
    assert settings.published_file.stat().st_mode & 0o222 == 0
    assert all(v.path.stat().st_mode & 0o222 == 0 for v in list_versions(settings))
