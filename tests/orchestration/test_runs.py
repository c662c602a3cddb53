"""Whole runs against a real PostgreSQL, on a project of a few nodes."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from support.tiny_project import Tiny
from support.tiny_shop import make_tiny_shop, replace, running_shop

from lakehouse.publishing import current_version, list_versions
from lakehouse.publishing.held_back import held_back_file
from orchestration.dbt_graph import build_graph
from orchestration.dbt_manifest import load_manifest
from orchestration.definitions import build_definitions

Run = dg.ExecuteInProcessResult


def materialize(
    tiny: Tiny, instance: dg.DagsterInstance, job: str = "de_batch_pipeline", *keys: str
) -> Run:
    definitions = build_definitions(tiny.settings)
    selection = [dg.AssetKey(key.split("/")) for key in keys]
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, raise_on_error=False, asset_selection=selection or None
    )


def metadata(run: Run, key: str) -> dict[str, object]:
    (found,) = [
        event.materialization.metadata
        for event in run.get_asset_materialization_events()
        if event.asset_key and event.asset_key.to_user_string() == key
    ]
    return {name: value.value for name, value in found.items()}


def failure(run: Run) -> str:
    """What the failed step says, its causes included."""
    (event,) = [event for event in run.all_events if event.is_step_failure]
    data = event.step_failure_data
    description = data.user_failure_data.description if data.user_failure_data else None
    return str(description or data.error)


@pytest.fixture(scope="module")
def shop(tiny: Tiny) -> Iterator[str]:
    with running_shop(tiny.settings) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def first(tiny: Tiny, shop: str, instance: dg.DagsterInstance) -> Run:
    """All of it, on a fresh root."""
    return materialize(tiny, instance)


def test_materialize_all(first: Run, tiny: Tiny, shop: str) -> None:
    assert first.success
    keys = {e.asset_key.to_user_string() for e in first.get_asset_materialization_events()}
    assert {"raw/shop/transactions", "base/base_customers", "marts/members"} <= keys
    with psycopg.connect(shop) as connection:
        (customers,) = connection.execute("select count(*) from shop.customers").fetchone() or (0,)

    raw = metadata(first, "raw/shop/customers")
    assert (raw["rows"], raw["tombstones"], raw["commits"]) == (customers, 0, 1)
    assert (raw["watermark_before"], raw["guarantee"]) == ("none", "exact")
    assert str(raw["watermark_after"]).startswith("20")
    assert raw["bytes"] == sum(path.stat().st_size for path in tiny.table.commits())

    # One is private, one published: both are counted.
    for table in ("base/base_customers", "marts/members"):
        assert metadata(first, table)["dagster/row_count"] == customers
    columns = metadata(first, "marts/members")["dagster/column_schema"]
    assert isinstance(columns, dg.TableSchema)
    assert [column.name for column in columns.columns] == ["customer_id"]

    version = current_version(tiny.settings)
    published = metadata(first, "published_warehouse")
    assert (published["version"], published["rows"]) == (version.id, customers + 1)


def test_every_test_was_a_check_and_a_warning_only_warned(first: Run, tiny: Tiny) -> None:
    checks = {check.check_name: check for check in first.get_asset_check_evaluations()}
    known = build_graph(load_manifest(tiny.settings)).checks.values()
    assert set(checks) == {check.name for check in known}
    assert "one_is_one" in checks, "a unit test is a check, too"
    (warned,) = [check for check in checks.values() if not check.passed]
    assert (warned.severity.value, warned.metadata["failed_rows"].value) == ("WARN", 1)


def test_the_build_file_is_not_kept_open(first: Run, tiny: Tiny) -> None:
    """A connection left behind would make the next build fail or show it an old state."""
    with duckdb.connect(str(tiny.settings.build_file)) as connection:
        connection.execute("create schema proof_of_writing")


def test_nothing_new_says_so(first: Run, tiny: Tiny, instance: dg.DagsterInstance) -> None:
    before = sorted(tiny.settings.raw_dir.rglob("*"))
    again = materialize(tiny, instance)
    assert again.success
    assert metadata(again, "raw/shop/customers")["result"] == "nothing new"
    assert sorted(tiny.settings.raw_dir.rglob("*")) == before
    (version,) = list_versions(tiny.settings)
    assert metadata(again, "published_warehouse")["version"] == version.id
    checks = {check.check_name for check in again.get_asset_check_evaluations()}
    assert checks, "data tests run each time"
    assert "one_is_one" not in checks, "a unit test proves code, and that is the same"


@pytest.mark.slow
def test_a_failed_test_stops_the_publish_asset_and_is_not_retried(
    first: Run, tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    before = current_version(tiny.settings).id
    failing = tiny.settings.dbt_dir / "tests" / "nobody_is_there.sql"
    failing.parent.mkdir()
    failing.write_text("select * from {{ ref('bystander') }}")

    red = materialize(tiny, instance, "transform_warehouse")
    assert not red.success
    said = failure(red)
    assert "nobody_is_there (fail)" in said
    assert "Next:" in said
    assert not [event for event in red.all_events if event.is_step_up_for_retry]
    started = {event.step_key for event in red.all_events if event.is_step_start}
    assert started == {"dbt_build"}, "the asset downstream of a failed check is not run"
    built = {event.asset_key.path[-1] for event in red.get_asset_materialization_events()}
    assert "bystander" in built
    checks = [c for c in red.get_asset_check_evaluations() if c.check_name == "nobody_is_there"]
    assert [(c.passed, c.severity.value) for c in checks] == [(False, "ERROR")]

    # A later, partial, green build does not release it, and the asset says what holds it back.
    partial = materialize(
        tiny, instance, "transform_warehouse", "base/base_customers", "published_warehouse"
    )
    assert not partial.success
    assert "nobody_is_there (fail)" in failure(partial)
    assert held_back_file(tiny.settings).exists()
    assert current_version(tiny.settings).id == before

    failing.unlink()
    assert materialize(tiny, instance, "transform_warehouse").success


def test_tables_that_failed_are_named_and_the_others_landed(
    first: Run, tiny: Tiny, shop: str, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(shop) as connection:
        connection.execute("alter table shop.products rename to gone")
    run = materialize(tiny, instance, "load_raw")
    with psycopg.connect(shop) as connection:
        connection.execute("alter table shop.gone rename to products")
    assert not run.success
    assert "products" in failure(run)
    assert not [event for event in run.all_events if event.is_step_up_for_retry]
    landed = {event.asset_key.path[-1] for event in run.get_asset_materialization_events()}
    assert landed == {"customers", "campaigns", "transactions", "transaction_items"}


@pytest.mark.slow
def test_a_new_model_appears_after_a_reload(tmp_path: Path) -> None:
    tiny = make_tiny_shop(tmp_path)

    def names() -> set[str]:
        specs = build_definitions(tiny.settings).resolve_all_asset_specs()
        return {spec.key.path[-1] for spec in specs}

    assert "bystander" in names()
    (tiny.settings.dbt_dir / "models" / "fresh.sql").write_text("select 1 as one")
    replace(tiny.settings.dbt_dir / "models" / "tiny.yml", "name: members", "name: bystanders")
    (tiny.settings.dbt_dir / "models" / "members.sql").unlink()
    assert "fresh" in names()
    assert "members" not in names()
