"""``lake source scaffold`` writes what is missing and leaves what a person made of it."""

from pathlib import Path

import psycopg
import pytest
import yaml

from lakehouse.cli.main import main

TABLES = """
create schema erp;
create table erp.customers (
    id int primary key, name text not null, updated_at timestamptz not null);
create table erp.orders (
    id int primary key, customer_id int not null references erp.customers,
    updated_at timestamptz not null);
"""


@pytest.fixture
def root(pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ingest").mkdir()
    (tmp_path / "ingest" / "sources.yml").write_text("sources: []\n")
    base = tmp_path / "dbt_project" / "models" / "staging" / "base" / "_base__models.yml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n\nmodels:\n  - name: base_mine  # mine\n")
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("LAKE_SOURCE_ERP_DSN", pg_dsn)
    execute(pg_dsn, TABLES)
    assert main(["source", "add", "erp"]) == 0
    return tmp_path


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def files(root: Path) -> dict[str, str]:
    folder = root / "dbt_project"
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def scaffold(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """The command's lines."""
    capsys.readouterr()
    assert main(["source", "scaffold", "erp", *options]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_dry_run_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(root)
    said = scaffold(capsys, "--dry-run")
    assert files(root) == before
    real = scaffold(capsys)
    assert said[:-1] == real[:-1], "it says what is done"
    assert set(before) < set(files(root))


def test_what_a_person_changed_stays_until_it_is_forced(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scaffold(capsys)
    written = files(root)
    model = "models/staging/erp/stg_erp__orders.sql"
    source = "models/staging/erp/_erp__sources.yml"
    edits = {
        model: written[model].replace("customer_id", "customer_id as customer"),
        source: written[source].replace("integer at the source.", "Who ordered.") + "# mine\n",
    }
    for name, text in edits.items():
        assert text != written[name]
        (root / "dbt_project" / name).write_text(text)
    said = scaffold(capsys)
    assert [line.split()[:3] for line in said[:3]] == [
        ["differs", f"dbt_project/{model}"],
        ["differs", f"dbt_project/{source}:", "customers"],
        ["differs", f"dbt_project/{source}:", "orders"],
    ]
    assert files(root) == {**written, **edits}
    (root / "dbt_project" / "models/staging/base/base_erp__orders.sql").unlink()
    assert scaffold(capsys)[0] == "new       dbt_project/models/staging/base/base_erp__orders.sql"
    scaffold(capsys, "--force")
    assert files(root) == {**written, source: written[source] + "# mine\n"}


def test_what_is_new_at_the_source_is_added_beside_it(
    root: Path, pg_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scaffold(capsys)
    before = files(root)
    execute(
        pg_dsn,
        "create table erp.items (id int primary key, updated_at timestamptz)",
        "alter table erp.customers add email text",
    )
    assert main(["source", "add", "erp"]) == 0
    said = scaffold(capsys)
    assert "differs   dbt_project/models/staging/erp/stg_erp__customers.sql" in said
    assert "added     dbt_project/models/quarantine/erp/accounting_erp.sql" in said
    after = files(root)
    for name, text in before.items():
        assert set(text.splitlines()) <= set(after[name].splitlines()), name
    changed = {name for name, text in before.items() if after[name] != text}
    assert all(name.endswith((".yml", "accounting_erp.sql")) for name in changed)
    assert (
        "    'items': 'stg_erp__items',\n} %}" in after["models/quarantine/erp/accounting_erp.sql"]
    )
    models = yaml.safe_load(after["models/staging/base/_base__models.yml"])["models"]
    assert [model["name"] for model in models] == [
        "base_mine", "base_erp__customers", "base_erp__orders", "base_erp__items",
    ]  # fmt: skip


def test_a_reference_is_tested_only_if_both_sides_have_a_model(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scaffold(capsys, "--table", "orders")
    alone = files(root)
    assert not any("customers" in name for name in alone)
    assert "relationships" not in alone["models/staging/erp/_stg_erp__models.yml"]
    said = scaffold(capsys)
    models = "dbt_project/models/staging/erp/_stg_erp__models.yml"
    assert f"differs   {models}: stg_erp__orders" in said
    scaffold(capsys, "--force")
    assert "relationships" in files(root)["models/staging/erp/_stg_erp__models.yml"]


@pytest.mark.parametrize("text", ["models: {", "models: 1\n", "other: []\n"])
def test_a_file_that_nothing_can_be_added_to_is_named(
    text: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = root / "dbt_project" / "models" / "staging" / "base" / "_base__models.yml"
    base.write_text(text)
    before = files(root)
    assert main(["source", "scaffold", "erp"]) == 1
    assert str(base) in capsys.readouterr().err
    assert files(root) == before, "all or nothing"
    assert main(["source", "scaffold", "nope"]) == 1
    assert main(["source", "scaffold", "erp", "--table", "nope"]) == 1
