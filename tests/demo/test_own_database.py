"""The demo fills and changes its own database only, and knows it by a mark."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from support.checkout import copy_sources
from support.private_root import private_root
from support.shop_queries import one, rows

from demo import DemoContext
from demo.database import fill_if_empty, open_database
from demo.postgres.embedded import EmbeddedPostgres
from demo.shop import ShopError, create_schema, seed, simulate_day
from demo.shop_steps import steps
from lakehouse.cli.main import main
from lakehouse.settings import Settings, load_settings
from lakehouse.source import fill_source, source_absence, source_dsn

NOBODY = "postgresql://nobody@127.0.0.1:1/nowhere"


@pytest.fixture
def root(server_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, whose source database is somebody's."""
    monkeypatch.setenv("LAKE_ROOT", str(server_root))
    monkeypatch.delenv("LAKE_DEMO_DSN", raising=False)
    copy_sources(server_root)
    return server_root


@pytest.mark.parametrize("command", [["seed", "--scale", "0.01"], ["simulate-day"]])
def test_the_source_database_is_never_written(
    command: list[str],
    root: Path,
    pg_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAKE_SOURCE_DSN", pg_dsn)
    main(["seed", "--scale", "0.01"])
    main(command)
    capsys.readouterr()
    assert one(pg_dsn, "select to_regnamespace('shop') is null")
    assert (root / "data" / "postgres" / "cluster").is_dir()


def test_lake_demo_dsn_names_another_database(
    root: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAKE_DEMO_DSN", pg_dsn)
    monkeypatch.setenv("LAKE_SOURCE_DSN", NOBODY)
    assert main(["seed", "--scale", "0.01"]) == 0
    assert main(["simulate-day"]) == 0
    assert one(pg_dsn, "select count(*) > 0 from shop.customers")
    assert not (root / "data" / "postgres").exists()
    monkeypatch.delenv("LAKE_SOURCE_DSN")
    assert main(["extract", "customers"]) == 0, "it is what is read where no source is named"
    assert "customers: " in capsys.readouterr().out


def test_lake_demo_dsn_may_stand_in_the_env_file(
    root: Path, pg_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / ".env").write_text(f"LAKE_DEMO_DSN={pg_dsn}\n")
    with open_database(load_settings()) as dsn:
        assert dsn == pg_dsn


def test_the_demo_extracts_what_it_filled_and_not_the_source_database(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_SOURCE_DSN", NOBODY)
    settings = load_settings()
    with ExitStack() as resources:
        context = DemoContext(settings=settings, scale=0.01, seed=1, resources=resources)
        said = [step.run(context) for step in steps()]
    assert "on a private socket" in said[0]
    assert "sales of" in said[1]
    assert "rows in 5 commits" in said[2]
    assert "new rows" in said[3]
    assert "rows in" in said[4]


@pytest.fixture
def foreign(pg_dsn: str) -> str:
    """A database whose schema ``shop`` is somebody's application."""
    rows(pg_dsn, "create schema shop")
    rows(pg_dsn, "create table shop.customers as select 1 as customer_id")
    return pg_dsn


@pytest.mark.parametrize(
    "write",
    [
        lambda dsn: seed(dsn, scale=0.01, reset=True),
        lambda dsn: seed(dsn, scale=0.01),
        lambda dsn: simulate_day(dsn),
        lambda dsn: create_schema(dsn),
    ],
    ids=["reset", "seed", "simulate a day", "create"],
)
def test_a_shop_that_it_did_not_make_is_left_alone(
    foreign: str, write: Callable[[str], object]
) -> None:
    with pytest.raises(ShopError, match=r"schema shop .* not made by `lake seed`") as error:
        write(foreign)
    assert "LAKE_DEMO_DSN" in error.value.next_step
    assert rows(foreign, "select * from shop.customers") == [(1,)]
    assert one(foreign, "select count(*) from pg_tables where schemaname = 'shop'") == 1


def test_what_it_made_it_knows_again(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    seed(pg_dsn, scale=0.01)
    simulate_day(pg_dsn)
    seed(pg_dsn, scale=0.01, reset=True)
    with psycopg.connect(pg_dsn) as connection:
        found = connection.execute("select obj_description('shop'::regnamespace)").fetchone()
    assert found == ("made by lake seed",)


def test_a_demo_whose_shop_is_not_its_own_stops_before_it_writes(
    root: Path, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_DEMO_DSN", foreign)
    with ExitStack() as resources:
        context = DemoContext(settings=Settings(root=root), scale=0.01, seed=1, resources=resources)
        with pytest.raises(ShopError, match="not made by `lake seed`"):
            for step in steps():
                step.run(context)
    assert not (root / "data" / "raw").exists()


def test_an_empty_database_is_filled_once_and_only_if_it_is_the_demos() -> None:
    lines: list[str] = []
    with private_root() as root, EmbeddedPostgres(settings := Settings(root=root)):
        sentence = fill_if_empty(settings, lines.append, scale=0.01)
        assert sentence is not None
        assert "seeded by this run" in sentence
        assert len(lines) == 2
        assert fill_if_empty(settings, lines.append) is None
    own = Settings(root=root, source_dsn="postgresql://somebody@nowhere.invalid/shop")
    assert fill_source(own, lines.append) is None
    assert len(lines) == 2


def test_looking_for_the_default_source_makes_no_server(server_root: Path) -> None:
    settings = Settings(root=server_root)
    absence = source_absence(settings)
    assert absence is not None
    assert "`lake seed` makes it" in absence
    assert not (server_root / "data").exists()
    with source_dsn(settings) as dsn:
        assert one(dsn, "select current_user") == "lake_extractor"
    assert source_absence(settings) is None
