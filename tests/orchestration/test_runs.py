"""Whole runs against a real PostgreSQL, on a project of a few nodes."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from support.tiny_project import Tiny

from ingest.embedded import EmbeddedPostgres
from lakehouse.publishing import current_version, list_versions
from lakehouse.publishing.publish import held_back_file
from lakehouse.settings import Settings
from orchestration.dbt_graph import build_graph
from orchestration.dbt_manifest import load_manifest
from orchestration.definitions import build_definitions
from orchestration.demo_source import seed_if_missing

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


@pytest.fixture
def first(tiny: Tiny, shop: str, instance: dg.DagsterInstance) -> Iterator[Run]:
    yield materialize(tiny, instance)


def test_materialize_all_and_then_nothing_new(
    first: Run, tiny: Tiny, shop: str, instance: dg.DagsterInstance
) -> None:
    assert first.success
    keys = {e.asset_key.to_user_string() for e in first.get_asset_materialization_events()}
    assert {"raw/shop/transactions", "log/log_customers", "marts/members"} <= keys
    with psycopg.connect(shop) as connection:
        (customers,) = connection.execute("select count(*) from shop.customers").fetchone() or (0,)

    raw = metadata(first, "raw/shop/customers")
    assert (raw["rows"], raw["tombstones"], raw["commits"]) == (customers, 0, 1)
    assert (raw["watermark_before"], raw["guarantee"]) == ("none", "exact")
    assert str(raw["watermark_after"]).startswith("20")
    assert raw["bytes"] == sum(path.stat().st_size for path in tiny.table.commits())

    # One is private, one published: both are counted.
    for table in ("log/log_customers", "marts/members"):
        assert metadata(first, table)["dagster/row_count"] == customers
    columns = metadata(first, "marts/members")["dagster/column_schema"]
    assert isinstance(columns, dg.TableSchema)
    assert [column.name for column in columns.columns] == ["customer_id"]

    version = current_version(tiny.settings)
    published = metadata(first, "published_warehouse")
    assert (published["version"], published["rows"]) == (version.id, customers + 1)

    checks = first.get_asset_check_evaluations()
    assert len(checks) == len(build_graph(load_manifest(tiny.settings)).checks) == 4
    assert all(check.passed for check in checks)
    assert "one_is_one" in {check.check_name for check in checks}, "a unit test is a check, too"

    again = materialize(tiny, instance)
    assert again.success
    assert metadata(again, "raw/shop/customers")["result"] == "nothing new"
    assert metadata(again, "published_warehouse")["version"] == version.id
    assert len(list_versions(tiny.settings)) == 1


def test_a_failed_test_stops_the_publish_asset_and_is_not_retried(
    first: Run, tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    before = current_version(tiny.settings).id
    model = tiny.settings.dbt_dir / "models" / "bystander.sql"
    good = model.read_text()
    model.write_text(good + " union all select 1")

    red = materialize(tiny, instance, "transform_warehouse")
    assert not red.success
    said = failure(red)
    assert "unique_bystander_one (fail)" in said
    assert "Next:" in said
    assert not [event for event in red.all_events if event.is_step_up_for_retry]
    started = {event.step_key for event in red.all_events if event.is_step_start}
    assert started == {"dbt_build"}, "the asset downstream of a failed check is not run"
    assert "marts/bystander" in {
        event.asset_key.to_user_string() for event in red.get_asset_materialization_events()
    }
    (check,) = [c for c in red.get_asset_check_evaluations() if not c.passed]
    assert (check.check_name, check.severity.value) == ("unique_bystander_one", "ERROR")

    # A later, partial, green build does not release it, and the asset says what holds it back.
    partial = materialize(
        tiny, instance, "transform_warehouse", "log/log_customers", "published_warehouse"
    )
    assert not partial.success
    assert "unique_bystander_one (fail)" in failure(partial)
    assert held_back_file(tiny.settings).exists()
    assert current_version(tiny.settings).id == before

    model.write_text(good)
    green = materialize(tiny, instance, "transform_warehouse")
    assert green.success


def test_a_warning_warns_and_publishes(tiny: Tiny, shop: str, instance: dg.DagsterInstance) -> None:
    properties = tiny.settings.dbt_dir / "models" / "tiny.yml"
    test = "{accepted_values: {arguments: {values: [2]}, config: {severity: warn}}}"
    text = properties.read_text().replace(
        "{name: one, data_tests: [unique]}", (f"{{name: one, data_tests: [unique, {test}]}}")
    )
    properties.write_text(text)
    run = materialize(tiny, instance)
    assert run.success
    (check,) = [c for c in run.get_asset_check_evaluations() if not c.passed]
    assert (check.severity.value, check.metadata["failed_rows"].value) == ("WARN", 1)
    assert current_version(tiny.settings)


def test_tables_that_failed_are_named_and_the_others_landed(
    tiny: Tiny, shop: str, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(shop) as connection:
        connection.execute("alter table shop.products rename to gone")
    run = materialize(tiny, instance, "load_raw")
    assert not run.success
    assert "products" in failure(run)
    assert not [event for event in run.all_events if event.is_step_up_for_retry]
    landed = {event.asset_key.path[-1] for event in run.get_asset_materialization_events()}
    assert landed == {"customers", "campaigns", "transactions", "transaction_items"}


def test_a_new_model_appears_after_a_reload(tiny: Tiny) -> None:
    def names() -> set[str]:
        specs = build_definitions(tiny.settings).resolve_all_asset_specs()
        return {spec.key.path[-1] for spec in specs}

    assert "bystander" in names()
    models = tiny.settings.dbt_dir / "models"
    (models / "fresh.sql").write_text("select 1 as one")
    (models / "members.sql").unlink()
    assert "fresh" in names()
    assert "members" not in names()


def test_the_demo_shop_is_seeded_once_and_only_in_the_embedded_database(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    lines: list[str] = []
    with EmbeddedPostgres(settings):
        sentence = seed_if_missing(settings, on_line=lines.append, scale=0.01)
        assert sentence is not None
        assert "seeded by this run" in sentence
        assert len(lines) == 2
        assert seed_if_missing(settings, on_line=lines.append) is None
    own = Settings(root=tmp_path, source_dsn="postgresql://somebody@nowhere.invalid/shop")
    assert seed_if_missing(own, on_line=lines.append) is None
    assert len(lines) == 2


def test_the_published_file_is_not_kept_open(first: Run, tiny: Tiny) -> None:
    """A connection left behind would make the next build fail or readers see an old version."""
    with duckdb.connect(str(tiny.settings.build_file)) as connection:
        connection.execute("create schema proof_of_writing")
