"""``exact`` is said where it is earned, and otherwise the reason why it is not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from support.extraction import EVENTS, Source, spec

from demo.postgres.embedded import EmbeddedPostgres
from ingest.postgres import ExtractionError
from ingest.postgres.catalog import SourceTable, read_table
from ingest.postgres.connection import Connection
from ingest.postgres.identity import Change
from ingest.postgres.watermark import guarantee, read_server_bound


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(EVENTS, "insert into shop.events select g, 'x' from generate_series(1, 5) g")
    return found


@pytest.mark.parametrize(
    ("statements", "declared", "said"),
    [
        (["create view shop.seen as table shop.events"], {}, "it is a view"),
        (
            ["create materialized view shop.seen as table shop.events"],
            {},
            "it is a materialized view",
        ),
        (["alter table shop.events rename to seen"], {"clock": None}, "nothing says who sets"),
        (
            ["alter table shop.events rename to seen"],
            {"clock": "application"},
            "an application's clock",
        ),
        (
            ["alter table shop.events rename to seen"],
            {"null_cursor": "exclude"},
            "rows without updated_at are excluded",
        ),
        (
            [
                "alter table shop.events rename to seen",
                "create subscription s connection 'host=127.0.0.1 port=1' publication p "
                "with (connect = false)",
                "insert into pg_subscription_rel (srsubid, srrelid, srsubstate) "
                "select oid, 'shop.seen'::regclass, 'r' from pg_subscription",
            ],
            {},
            "logical replication fills it",
        ),
    ],
)
def test_what_makes_it_inexact_is_said(
    source: Source, statements: list[str], declared: dict[str, object], said: str
) -> None:
    source.specs = [spec("seen", **declared)]
    with psycopg.connect(source.dsn, autocommit=True) as connection:
        connection.execute("set allow_system_table_mods = on")
        for statement in statements:
            connection.execute(statement.encode())
    try:
        guarantee = source.extract().guarantee
        assert guarantee is not None
        assert guarantee.startswith("lookback 0s: ")
        assert said in guarantee
    finally:
        if "subscription" in statements[-1]:
            source.execute(
                "delete from pg_subscription_rel",
                "alter subscription s disable",
                "alter subscription s set (slot_name = none)",
                "drop subscription s",
            )


def test_a_partition_on_another_server_is_said(source: Source) -> None:
    source.execute(
        "create table shop.seen (id bigint, updated_at timestamptz) partition by range (id)",
        "create foreign data wrapper nothing",
        "create server elsewhere foreign data wrapper nothing",
        "create foreign table shop.part partition of shop.seen for values from (0) to (9) "
        "server elsewhere",
    )
    declared = spec("seen")
    with Connection(source.dsn) as connection:
        server = read_server_bound(connection, [declared])
        relations = server.relations["shop", "seen"]
        assert [relation.kind for relation in relations] == ["p", "f"]
        table = replace(plain_table(source), relations=relations)
    assert "it is a foreign table" in guarantee(table, server, Change())


def plain_table(source: Source) -> SourceTable:
    declared = spec()
    with Connection(source.dsn) as connection:
        server = read_server_bound(connection, [declared])
        return read_table(connection, declared, server.relations["shop", "events"])


def test_a_server_that_refuses_to_say_which_it_is_is_read_all_the_same(
    source: Source, pg_server: EmbeddedPostgres
) -> None:
    source.execute(
        "do $$ begin create role lake_seeing login in role pg_read_all_stats; "
        "exception when duplicate_object then end $$",
        "revoke execute on function pg_control_system() from public",
        "grant usage on schema shop to lake_seeing",
        "grant select on all tables in schema shop to lake_seeing",
    )
    name = str(psycopg.conninfo.conninfo_to_dict(source.dsn)["dbname"])
    weak = Source(pg_server.dsn("lake_seeing", name), source.root)
    report = weak.extract()
    assert report.upserts == 5
    assert report.guarantee is not None
    assert "the server does not tell which one it is" in report.guarantee
    assert weak.extract().rows == 0
    source.execute("grant execute on function pg_control_system() to public")
    assert weak.extract().guarantee is not None
    assert weak.extract().rows == 0


def test_a_cursor_that_is_rounded_down_is_still_exact(source: Source) -> None:
    source.specs = [spec(deletes="ignore")]
    source.execute("alter table shop.events alter updated_at type timestamptz(0)")
    source.extract()
    with psycopg.connect(source.dsn) as late:
        # Half a second below the start of the transaction, as rounding may make it.
        late.execute("insert into shop.events values (100, 'late', now() - interval '0.5 seconds')")
        for number in range(3):
            source.execute(f"insert into shop.events values ({200 + number}, 'x')")
            assert source.extract().guarantee == "exact"
        late.commit()
    source.extract()
    assert [row[0] for row in source.current()] == [1, 2, 3, 4, 5, 100, 200, 201, 202]


def test_a_replay_time_that_stayed_after_a_failover_does_not_hold_the_watermark(
    source: Source,
) -> None:
    # A function of the same name stands in for the one that answers like a promoted standby.
    source.execute(
        "create function public.pg_last_xact_replay_timestamp() returns timestamptz "
        "language sql as 'select timestamptz ''2001-01-01''' ",
    )
    with Connection(source.dsn) as connection:
        connection.execute("set search_path = public, pg_catalog")
        bound = read_server_bound(connection, ())
    assert bound.watermark > "2020"


@pytest.fixture
def twins(source: Source) -> Iterator[Source]:
    source.execute(
        "create view shop.twins as select * from shop.events union all "
        "select * from shop.events where id = 3"
    )
    source.specs = [spec("twins")]
    yield source


def test_a_declared_key_that_is_not_unique_in_a_view_is_refused(twins: Source) -> None:
    with pytest.raises(
        ExtractionError, match=r"1 keys \(id\) of shop\.twins stand in more than one row, as id = 3"
    ):
        twins.extract()
    assert twins.files() == {}


def test_a_key_that_is_not_unique_over_heirs_is_refused(source: Source) -> None:
    source.execute(
        "create table shop.heir () inherits (shop.events)",
        "insert into shop.heir values (3, 'the same key')",
    )
    with pytest.raises(ExtractionError, match="stand in more than one row"):
        source.extract()
    source.execute("update shop.heir set id = 33")
    assert source.extract().upserts == 6
