"""What ``lake doctor`` says of a source: reachable, complete, readable only, and how exact."""

from pathlib import Path

import psycopg
import pytest
from support.checkout import copy_sources

from demo.postgres.embedded import EXTRACTOR_ROLE, EmbeddedPostgres
from demo.shop import create_schema
from ingest.checks import checks
from lakehouse.doctor import Finding, run_checks
from lakehouse.settings import Settings


def look(dsn: str | None, root: Path) -> dict[str, Finding]:
    copy_sources(root)
    settings = Settings(root=root, source_dsn=dsn)
    return {check.name: found for check, found in run_checks(settings, checks())}


def database_of(dsn: str) -> str:
    return dsn.partition("@/")[2].partition("?")[0]


@pytest.fixture
def shop(pg_dsn: str, pg_server: EmbeddedPostgres) -> str:
    """The extractor's address of an empty shop."""
    create_schema(pg_dsn)
    return pg_server.dsn(EXTRACTOR_ROLE, database_of(pg_dsn))


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_before_the_first_demo_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    found = look(None, tmp_path)
    assert found["table list"].outcome == "ok"
    assert {found[n].outcome for n in ("source", "source role", "watermark")} == {"skipped"}
    assert list(tmp_path.iterdir()) == [tmp_path / "ingest"], "looking makes no server"


def test_a_shop_with_the_extractors_role_is_sound(shop: str, tmp_path: Path) -> None:
    found = look(shop, tmp_path)
    assert {one.outcome for one in found.values()} == {"ok"}
    assert "as lake_extractor" in found["source"].text
    assert found["watermark"].text.startswith("exact")


def test_a_server_that_does_not_answer_is_a_problem_without_its_password(tmp_path: Path) -> None:
    found = look("postgresql://someone:hunter2@127.0.0.1:1/shop_db", tmp_path)["source"]
    assert found.outcome == "problem"
    assert found.next_step
    assert "hunter2" not in found.text + found.next_step


def test_missing_tables_are_named(pg_dsn: str, tmp_path: Path) -> None:
    found = look(pg_dsn, tmp_path)["source"]
    assert found.outcome == "problem"
    assert "shop.customers" in found.text
    assert "lake seed" in str(found.next_step)


def test_a_role_that_could_write_is_a_warning(shop: str, pg_dsn: str, tmp_path: Path) -> None:
    found = look(pg_dsn, tmp_path)["source role"]
    assert found.outcome == "warning"
    assert "may also change shop.customers" in found.text


def test_a_table_that_the_role_may_not_read_is_a_problem(
    shop: str, pg_dsn: str, tmp_path: Path
) -> None:
    execute(pg_dsn, "revoke select on shop.products from lake_extractor")
    found = look(shop, tmp_path)["source role"]
    assert found.outcome == "problem"
    assert "lake_extractor may not read shop.products" in found.text
    assert "grant select" in str(found.next_step)


def test_a_role_that_cannot_see_other_transactions_is_told_what_it_costs(
    shop: str, pg_dsn: str, pg_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    execute(
        pg_dsn,
        "drop role if exists blind",
        "create role blind login",
        "grant usage on schema shop to blind",
        "grant select on all tables in schema shop to blind",
    )
    found = look(pg_server.dsn("blind", database_of(pg_dsn)), tmp_path)["watermark"]
    execute(pg_dsn, "drop owned by blind", "drop role blind")
    assert found.outcome == "warning"
    assert "pg_read_all_stats" in found.text
    assert "lookback" in found.text


def test_prepared_transactions_make_the_watermark_a_guess(
    shop: str, pg_dsn: str, tmp_path: Path
) -> None:
    execute(pg_dsn, "begin", "create table t (i int)", "prepare transaction 'p'")
    found = look(shop, tmp_path)["watermark"]
    execute(pg_dsn, "rollback prepared 'p'")
    assert found.outcome == "warning"
    assert "prepared transactions" in found.text
