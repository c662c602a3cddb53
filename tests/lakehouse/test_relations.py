"""What a version holds: every public table and view as a table, with its keys and comments."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pytest
from support.builds import build_file, publish_build, published_build
from support.tiny_project import Tiny

from lakehouse.errors import LakeError
from lakehouse.publishing import current_version, list_versions, open_published
from lakehouse.publishing.publish import Outcome, publish
from lakehouse.settings import Settings

ODD_VIEW = """
create schema private; create schema marts;
create table private.source as
    select 1::bigint as id, 'x' as "odd ""name", {'a b': 1, 'c': [1.5]} as nested,
    'b''c'::enum('a', 'b''c') as letter, map {'k': 2} as pairs, null as nothing,
    timestamptz '2026-01-02 03:04:05+00' as at, 1.25::decimal(38, 2) as price;
create table main.plain as select 7 as seven;
create view marts.v as select * from private.source;
create view marts.unqualified as select * from plain;
comment on view marts.v is 'a view''s comment';
comment on column marts.v.id is 'its id';
"""
VIEWS = [("marts", "v"), ("marts", "unqualified")]


def publish_tables(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tables: Sequence[tuple[str, str]]
) -> Outcome:
    return publish(connection, settings, schemas=["marts"], tables=tables, invocation_id="test")


def ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with open_published(settings) as connection:
        return list(connection.execute(query).fetchall())


def test_a_public_view_is_a_table_of_the_same_columns_rows_and_comments_in_the_version(
    settings: Settings,
) -> None:
    with build_file(settings) as connection:
        connection.execute(ODD_VIEW)
        described = connection.execute("describe marts.v").fetchall()
        rows = connection.execute("from marts.v").fetchall()
        publish_tables(connection, settings, VIEWS)
    assert ask(settings, "describe marts.v") == described
    assert ask(settings, "from marts.v") == rows
    assert ask(settings, "from marts.unqualified") == [(7,)]
    assert current_version(settings).rows == {"marts.unqualified": 1, "marts.v": 1}
    comments = "select comment from duckdb_{}() where comment is not null"
    assert ask(settings, comments.format("tables")) == [("a view's comment",)]
    assert ask(settings, comments.format("columns")) == [("its id",)]


def test_an_unchanged_view_is_nothing_new_and_a_changed_one_is(settings: Settings) -> None:
    with build_file(settings) as connection:
        connection.execute(ODD_VIEW)
        first = publish_tables(connection, settings, VIEWS)
        assert publish_tables(connection, settings, VIEWS).version == first.version
        connection.execute("create or replace table main.plain as select 8 as seven")
        second = publish_tables(connection, settings, VIEWS)
        # The catalog of this session still knows the view's columns of before.
        connection.execute("create or replace table main.plain as select 8.5::double as seven, 1")
        third = publish_tables(connection, settings, VIEWS)
    assert len({first.version, second.version, third.version}) == 3
    assert ask(settings, "select typeof(seven) from marts.unqualified") == [("DOUBLE",)]


def test_what_was_a_view_and_is_built_as_a_table_is_the_same_content(settings: Settings) -> None:
    with build_file(settings) as connection:
        connection.execute("create schema marts; create view marts.v as select 1 as one")
        first = publish_tables(connection, settings, [("marts", "v")])
        connection.execute("drop view marts.v; create table marts.v as select 1 as one")
        assert publish_tables(connection, settings, [("marts", "v")]).version == first.version


@pytest.mark.slow
def test_a_view_that_dbt_built_reaches_readers(tiny: Tiny) -> None:
    model = tiny.settings.dbt_dir / "models" / "bystander.sql"
    model.write_text("{{ config(materialized='view', schema='marts') }} select 1 as one")
    tiny.land(1)
    tiny.dbt("build")
    assert current_version(tiny.settings).rows == {"marts.bystander": 1, "marts.members": 1}
    assert "nothing new to publish" in tiny.dbt("build")


def test_keys_that_point_at_a_table_of_a_later_name_are_published(settings: Settings) -> None:
    with build_file(settings) as connection:
        connection.execute(
            "create schema marts;"
            "create table marts.z (id int primary key, n varchar default 'none' check (n <> ''));"
            "create table marts.m (id int primary key, z int references marts.z (id));"
            "create table marts.a (m int references marts.m (id), z int references marts.z (id));"
            "insert into marts.z (id) select range from range(3000);"
            "insert into marts.m select range, range from range(3000);"
            "insert into marts.a select range, range from range(3000)"
        )
        tables = [("marts", name) for name in "amz"]
        first = publish_tables(connection, settings, tables)
        assert publish_tables(connection, settings, tables).version == first.version
    keys = "select count(*) from duckdb_constraints() where constraint_type = 'FOREIGN KEY'"
    assert ask(settings, keys) == [(3,)]
    assert sum(list_versions(settings)[0].rows.values()) == 9000


def test_a_table_that_cannot_be_copied_is_named_with_its_cause(settings: Settings) -> None:
    publish_build(settings, 1)
    with build_file(settings) as connection:
        connection.execute(
            "create view marts.broken as select 1 / (id - id) as x, error('it broke')"
            " as y from marts.numbers"
        )
        with pytest.raises(LakeError, match=r"marts\.broken .*it broke.*Next: "):
            publish_tables(connection, settings, [("marts", "broken"), ("marts", "numbers")])
        connection.execute("create table marts.p (i int primary key)")
        connection.execute("create table marts.c (i int references marts.p (i))")
        with pytest.raises(LakeError, match=r"marts\.c .*p does not exist"):
            publish_tables(connection, settings, [("marts", "c"), ("marts", "numbers")])
    assert published_build(settings) == 1
    publish_build(settings, 2)
    assert published_build(settings) == 2
