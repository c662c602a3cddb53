"""A database that nobody here designed goes from its catalogue to staging, and arrives unchanged.

Everything is done by the commands that a person would use.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import psycopg
import pytest
import yaml
from support.checkout import DBT, Checkout, make_checkout
from support.strange_database import SMALL, canonical, large, rows_here, rows_there

from ingest.onboarding.dbt_text import escaped
from ingest.sources import load_sources
from lakehouse.cli.main import main
from lakehouse.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "LAKE_SOURCE_ERP_DSN"


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def bare_checkout(root: Path) -> Checkout:
    """The project without a model: its macros, generic tests and documentation only."""
    source = REPOSITORY / "dbt_project"
    shutil.copytree(
        source,
        root / "dbt_project",
        ignore=shutil.ignore_patterns("target", "logs", "models", "tests"),
    )
    shutil.copytree(source / "tests" / "generic", root / "dbt_project" / "tests" / "generic")
    shutil.copytree(source / "models" / "docs", root / "dbt_project" / "models" / "docs")
    listed = root / "ingest" / "sources.yml"
    listed.parent.mkdir()
    listed.write_text("# What we read.\nsources: []\n")
    return Checkout(Settings(root=root))


def lake(checkout: Checkout, dsn: str, *command: str) -> None:
    """A command in this process, which need not load everything again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKE_ROOT", str(checkout.settings.root))
        patch.setenv(VARIABLE, dsn)
        assert main(command) == 0


def take_in(checkout: Checkout, dsn: str) -> None:
    """From the address to models."""
    lake(checkout, dsn, "source", "add", "erp")
    lake(checkout, dsn, "extract", "erp")
    lake(checkout, dsn, "source", "scaffold", "erp")


def declared(checkout: Checkout) -> dict[str, dict[str, str]]:
    """For each scaffolded table its columns with their names in PostgreSQL, as dbt reads them."""
    file = checkout.settings.dbt_dir / "models" / "staging" / "erp" / "_erp__sources.yml"
    (source,) = yaml.safe_load(file.read_text(encoding="utf-8"))["sources"]
    found = {}
    for table in source["tables"]:
        found[table["name"]] = {
            column["name"]: column.get("config", {})
            .get("meta", {})
            .get("raw_name", column["name"])
            .replace('{{ "{" }}', "{")
            for column in table["columns"]
        }
    return found


def assert_same(checkout: Checkout, dsn: str, tables: Sequence[str]) -> None:
    specs = {spec.name: spec for spec in load_sources(checkout.settings) if spec.source == "erp"}
    assert set(specs) == set(tables)
    columns = declared(checkout)
    with duckdb.connect(str(checkout.settings.build_file), read_only=True) as engine:
        for name, spec in specs.items():
            there = rows_there(dsn, (spec.schema, spec.relation))
            here = rows_here(engine, f"stg_erp__{name}", columns[name])
            assert canonical(here) == canonical(there), name


def files(checkout: Checkout) -> dict[Path, bytes]:
    """What a person may have written."""
    folders = (checkout.settings.dbt_dir / "models", checkout.settings.root / "ingest")
    return {path: path.read_bytes() for f in folders for path in f.rglob("*") if path.is_file()}


def assert_clean(checkout: Checkout, files: Sequence[Path]) -> None:
    """As clean as the project's own models."""
    shutil.copy(REPOSITORY / ".sqlfluff", checkout.settings.root)
    done = subprocess.run(
        [str(DBT.with_name("sqlfluff")), "lint", *map(str, files)],
        cwd=checkout.settings.root,
        env=checkout.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_small_strange_database_arrives_unchanged(pg_dsn: str, tmp_path: Path) -> None:
    execute(pg_dsn, SMALL)
    checkout = bare_checkout(tmp_path / "root")
    take_in(checkout, pg_dsn)
    checkout.build()
    assert_same(checkout, pg_dsn, ["kunden", "order"])
    with duckdb.connect(str(checkout.settings.published_file), read_only=True) as engine:
        counted = engine.execute(
            "select table_name, raw_rows, clean_rows, quarantined_rows, repeated_rows"
            " from quarantine.accounting_erp order by 1"
        ).fetchall()
        assert counted == [("kunden", 2, 1, 1, 0), ("order", 3, 2, 1, 0)]
        (said,) = engine.execute(
            "select comment from duckdb_columns() where column_name = 'order_'"
            " and table_name = 'quarantine_erp__kunden'"
        ).fetchone() or ("",)
    assert said.startswith("{{ env_var('NOBODY_SETS_THIS') }}: - [x] # y"), "shown and never run"
    found = json.loads((checkout.settings.dbt_dir / "target" / "manifest.json").read_text())
    tests = {node["name"] for node in found["nodes"].values() if node["resource_type"] == "test"}
    assert "relationships_stg_erp__order_kunde__kunden_nr__ref_stg_erp__kunden_" in tests
    assert {"not_null_stg_erp__kunden_order_", "not_null_stg_erp__order_kunde"} <= tests


def test_an_expression_in_a_text_is_no_expression() -> None:
    for text in ("{{ x }}", "{{{", "{%- raw %}", "{# #}", "{ {", "a{", "{{'{{'}}"):
        shown = escaped(text)
        for opening in ("{{ x", "{%", "{#"):
            assert opening not in shown.replace('{{ "{" }}', "")


@pytest.mark.slow
def test_a_large_strange_database_arrives_unchanged_and_follows_its_changes(
    pg_dsn: str, tmp_path: Path
) -> None:
    execute(pg_dsn, large())
    checkout = make_checkout(tmp_path / "root")
    take_in(checkout, pg_dsn)
    tables = [spec.name for spec in load_sources(checkout.settings) if spec.source == "erp"]
    assert len(tables) == 13
    checkout.build()
    assert_same(checkout, pg_dsn, tables)
    execute(
        pg_dsn,
        'update "Sales-Ü"."Kunden" set "case" = not "case", "Größe (cm)" = 1',
        'delete from "Sales-Ü"."order" where "Id" = 3',
        "update hstrange.parts set boss = 7, updated_at = now() where id > 10",
        "insert into hstrange.empty values (1, now())",
        'update hstrange."every type" set updated_at = now() where id = 2',
    )
    lake(checkout, pg_dsn, "extract", "erp", "--allow-deletes")
    checkout.build()
    assert_same(checkout, pg_dsn, tables)
    written = files(checkout)
    lake(checkout, pg_dsn, "source", "scaffold", "erp")
    assert files(checkout) == written, "nothing is new"
    conventions = REPOSITORY / "tests" / "dbt" / "test_project_conventions.py"
    checkout.run(
        *[sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(conventions)],
        LAKE_TEST_PROJECT=str(checkout.settings.dbt_dir),
    )
    models = checkout.settings.dbt_dir / "models"
    wide = {"base_erp__keywords.sql", "base_erp__every_type.sql"}  # they take sqlfluff minutes
    clean = [path for path in models.glob("**/*_erp__*.sql") if path.name not in wide]
    assert_clean(checkout, clean)
