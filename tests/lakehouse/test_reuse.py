"""A version made out of the one before, only where the notes say what has changed since."""

from pathlib import Path

import duckdb
import pytest
from support.reuse import publish_by_reuse, unlike_the_build
from support.tiny_project import Tiny

from lakehouse.dbt import run_notes
from lakehouse.publishing import current_version
from lakehouse.settings import Settings

FACTS = 1000


def begin_run(connection: duckdb.DuckDBPyConnection) -> int:
    run_notes.ensure_tables(connection)
    return run_notes.begin_run(connection, "code")


def note(connection: duckdb.DuckDBPyConnection, model: str, run: int, *, replaced_in: int) -> None:
    connection.execute(
        "insert into ops.model_runs by name select $model as model, $run as run,"
        " $run as commits_through, 0 as rebuilt_in, $replaced_in as replaced_in, '' as code",
        {"model": model, "run": run, "replaced_in": replaced_in},
    )


@pytest.fixture
def facts(settings: Settings) -> Settings:
    """A published table of two key columns, written by ``by_commit``, and a view of it."""
    settings.build_dir.mkdir(parents=True)
    with duckdb.connect(str(settings.build_file)) as connection:
        run = begin_run(connection)
        connection.execute(
            "create schema marts; create table marts.facts as"
            f" select range % 10 as device, range as minute, 0 as total from range({FACTS});"
            "create view marts.seen as select device, max(total) as total from marts.facts"
            " group by all"
        )
        note(connection, "facts", run, replaced_in=run)
    assert publish_by_reuse(settings) == 0
    return settings


def change(settings: Settings, *, noted: str = "true", written: str = "true") -> None:
    """A run that changes and removes facts, as the strategy does it."""
    with duckdb.connect(str(settings.build_file)) as connection:
        run = begin_run(connection)
        connection.execute(
            'create table if not exists ops."changes of marts.facts" as'
            " select device, minute, 0 as _run from marts.facts where false;"
            f'insert into ops."changes of marts.facts" select device, minute, {run}'
            f" from marts.facts where minute % 97 = 1 and {noted};"
            f"update marts.facts set total = {run} where minute % 97 = 1 and {written};"
            "delete from marts.facts where minute = 1"
        )
        note(connection, "facts", run, replaced_in=1)


def test_only_what_changed_is_written_and_the_version_is_the_build(facts: Settings) -> None:
    change(facts)
    seen, changed = 10, 11
    assert publish_by_reuse(facts) == seen + changed
    assert unlike_the_build(facts) == {}
    change(facts)
    assert publish_by_reuse(facts) == 2 * (seen + changed) - 1
    assert unlike_the_build(facts) == {}
    with duckdb.connect(str(facts.build_file)) as connection:
        assert connection.execute('from ops."changes of marts.facts"').fetchall() == []


def test_a_table_that_something_else_has_written_is_copied_whole(facts: Settings) -> None:
    change(facts)
    with duckdb.connect(str(facts.build_file)) as connection:
        run = begin_run(connection)
        connection.execute("update marts.facts set total = 99 where minute = 500")
        note(connection, "facts", run, replaced_in=run)
    assert publish_by_reuse(facts) > FACTS
    assert unlike_the_build(facts) == {}


def test_rows_that_went_without_a_note_are_found_by_their_number(facts: Settings) -> None:
    change(facts, noted="minute <> 1")
    assert publish_by_reuse(facts) == 0, "copied row by row"
    assert unlike_the_build(facts) == {}


def test_a_new_column_a_new_table_and_one_that_has_gone(facts: Settings) -> None:
    with duckdb.connect(str(facts.build_file)) as connection:
        run = begin_run(connection)
        connection.execute(
            "alter table marts.facts add column note varchar default 'new';"
            "drop view marts.seen; create table marts.other as select 1 as one"
        )
        note(connection, "facts", run, replaced_in=1)
    assert publish_by_reuse(facts) > FACTS
    assert unlike_the_build(facts) == {}
    assert set(current_version(facts).rows) == {"marts.facts", "marts.other"}


@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_damage_does_not_go_from_version_to_version(facts: Settings, where: float) -> None:
    path = current_version(facts).path
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    change(facts)
    assert publish_by_reuse(facts) == 0, "copied row by row"
    assert unlike_the_build(facts) == {}


def test_another_build_file_knows_nothing_of_the_version(facts: Settings, tmp_path: Path) -> None:
    """A backup of the build file, from before the last version, is put back."""
    backup = tmp_path / "backup"
    backup.write_bytes(facts.build_file.read_bytes())
    change(facts)
    assert publish_by_reuse(facts) > 0
    facts.build_file.write_bytes(backup.read_bytes())
    change(facts, written="minute > 500")
    assert publish_by_reuse(facts) == 0, "copied row by row"
    assert unlike_the_build(facts) == {}


def test_a_version_is_copied_row_by_row_when_much_has_been_replaced(facts: Settings) -> None:
    replaced = []
    for _ in range(5):
        change(facts)
        replaced.append(publish_by_reuse(facts, most_replaced=0.05))
        assert unlike_the_build(facts) == {}
    assert replaced == [21, 41, 0, 20, 40], "5 % of some 1,000 rows are 50"


@pytest.mark.slow
@pytest.mark.guard
def test_a_hook_that_writes_more_than_the_strategy_makes_the_table_replaced(tiny: Tiny) -> None:
    model = tiny.settings.dbt_dir / "models" / "facts.sql"
    model.write_text(
        "{{ config(materialized='incremental', schema='marts', incremental_strategy='by_commit',\n"
        "    unique_key='id', post_hook='update {{ this }} set seen = seen + 1') }}\n"
        "{% call affected_keys() %}\n"
        "select id from {{ ref('base_customers') }} where {{ is_new_commit() }}\n"
        "{% endcall %}\n"
        "select id, 1 as seen from {{ ref('base_customers') }} where {{ is_affected('id') }}\n"
    )
    tiny.land(*range(100))
    tiny.dbt("build", "--vars", "publish: false")
    publish_by_reuse(tiny.settings)
    for number in (1000, 1001):
        tiny.land(number)
        tiny.dbt("build", "--vars", "publish: false")
        assert publish_by_reuse(tiny.settings) > 100
        assert unlike_the_build(tiny.settings) == {}
