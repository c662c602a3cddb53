"""The graph of the real project: which assets, which checks, and nothing that dangles."""

from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from support.stream.declared import STREAMS

from ingest.sources import load_sources
from lakehouse.settings import Settings
from orchestration.dbt_graph import DbtGraph, build_graph, is_blocking
from orchestration.definitions import build_definitions
from orchestration.raw_assets import external_raw_assets, raw_key
from streaming.landing import SOURCE

STREAM_TABLES = {
    (SOURCE, table)
    for stream in STREAMS.values()
    for table in (stream.events_table, stream.windows_table)
}
STREAM_KEYS = {dg.AssetKey(["raw", *table]) for table in STREAM_TABLES}
SNAPSHOT = Path(__file__).with_name("asset_keys.txt")


@pytest.fixture(scope="module")
def definitions(project: Settings, graph: DbtGraph) -> dg.Definitions:
    return build_definitions(project)


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for spec in definitions.resolve_all_asset_specs()}


def test_asset_keys_and_groups_are_those_of_the_snapshot(
    specs: dict[dg.AssetKey, dg.AssetSpec],
) -> None:
    """A renamed asset loses its history, so it must be a visible change.

    To accept one, paste the lines of the failure into the file.
    """
    lines = sorted(f"{spec.group_name} {key.to_user_string()}" for key, spec in specs.items())
    assert "\n".join(lines) == SNAPSHOT.read_text().strip()


def test_the_owner_of_a_model_is_the_owner_of_its_asset(graph: DbtGraph) -> None:
    owners = {g["name"]: [g["owner"]["email"]] for g in graph.manifest["groups"].values()}
    assert owners
    for unique_id, spec in graph.assets.items():
        assert spec.owners == owners[graph.node(unique_id)["config"]["group"]]


def test_every_dependency_is_an_asset(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    dangling = {dep.asset_key for spec in specs.values() for dep in spec.deps} - specs.keys()
    assert not dangling


def test_table_list_dbt_sources_and_raw_assets_are_the_same(
    project: Settings, graph: DbtGraph, specs: dict[dg.AssetKey, dg.AssetSpec]
) -> None:
    listed = {(table.source, table.name) for table in load_sources(project)} | STREAM_TABLES
    sources = graph.manifest["sources"].values()
    assert {(source["source_name"], source["name"]) for source in sources} == listed
    raw = {key for key, spec in specs.items() if spec.group_name == "raw"}
    assert raw == {raw_key(table) for table in load_sources(project)} | STREAM_KEYS
    read = {dep.asset_key for spec in specs.values() for dep in spec.deps}
    assert raw <= read, "every raw table is read by a model"


def test_every_dbt_test_is_one_check(graph: DbtGraph, definitions: dg.Definitions) -> None:
    tests = {k for k, n in graph.manifest["nodes"].items() if n["resource_type"] == "test"}
    tests |= set(graph.manifest["unit_tests"])
    assert tests
    assert set(graph.checks) == tests
    repeated = [key for key, n in Counter(c.key for c in graph.checks.values()).items() if n > 1]
    assert not repeated
    known = definitions.resolve_asset_graph().asset_check_keys
    assert {check.key for check in graph.checks.values()} == known


def test_checks_of_severity_error_block(graph: DbtGraph) -> None:
    for unique_id, check in graph.checks.items():
        severity = graph.node(unique_id)["config"].get("severity") or "error"
        assert check.blocking == (severity.lower() == "error")
    assert not is_blocking({"config": {"severity": "WARN"}})
    assert is_blocking({"config": {}}), "a unit test has no severity"


def test_a_check_shows_on_the_table_it_is_about(graph: DbtGraph) -> None:
    shown = {check.name: check.asset_key.to_user_string() for check in graph.checks.values()}
    assert shown["is_key_dim_customer_customer_key"] == "marts/dim_customer"
    relationship = "relationships_fct_sales_customer_key__customer_key__ref_dim_customer_"
    assert shown[relationship] == "marts/fct_sales"
    assert shown["sum_of_lines_equals_header_total"] == "marts/fct_sales"


def test_jobs_select_load_transform_and_everything(
    project: Settings, definitions: dg.Definitions
) -> None:
    def keys(job: str) -> set[dg.AssetKey]:
        return set(definitions.resolve_job_def(job).asset_layer.executable_asset_keys)

    raw = {raw_key(table) for table in load_sources(project)}
    every = set(definitions.resolve_asset_graph().get_all_asset_keys())
    assert keys("load_raw") == raw
    assert every > STREAM_KEYS
    assert keys("de_batch_pipeline") == every - STREAM_KEYS, "`lake stream run` lands those"
    assert keys("transform_warehouse") == keys("de_batch_pipeline") - raw


def test_raw_tables_of_the_streams_can_be_seen_and_not_materialized(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    assert graph.external_asset_keys == STREAM_KEYS
    for key in STREAM_KEYS:
        node = graph.get(key)
        assert not node.is_executable
        assert "lake stream run" in (node.description or "")
        assert node.child_keys, "a model reads it"


def test_the_schedule_is_daily_in_utc_and_off(definitions: dg.Definitions) -> None:
    (schedule,) = definitions.schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def node(kind: str, name: str, *parents: str, **more: object) -> dict[str, object]:
    return {
        "resource_type": kind,
        "name": name,
        "fqn": ["p", "marts", name],
        "schema": "marts",
        "alias": name,
        "description": "",
        "raw_code": "",
        "tags": [],
        "original_file_path": "models/x.yml",
        "unique_id": f"{kind}.p.{name}",
        "config": {"materialized": "table", "schema": "marts", "meta": {}},
        "depends_on": {"nodes": list(parents)},
        **more,
    }


def test_tests_without_an_attached_table_find_one() -> None:
    """Of an ephemeral model, of several tables, of macros only, and one that names its table."""
    tested = {"config": {"meta": {"dagster": {"ref": {"name": "first"}}}}}
    nodes = [
        node("model", "first"),
        node("model", "passing", "model.p.first", config={"materialized": "ephemeral"}),
        node("model", "last", "model.p.passing"),
        node("test", "of_ephemeral", "model.p.passing", attached_node="model.p.passing"),
        node("test", "of_several", "model.p.first", "model.p.last"),
        node("test", "of_macros"),
        node("test", "named", "model.p.first", "model.p.last", **tested),
    ]
    by_id = {str(n["unique_id"]): n for n in nodes}
    parents = {k: n["depends_on"]["nodes"] for k, n in by_id.items()}  # type: ignore[index]
    children = {k: [c for c, ps in parents.items() if k in ps] for k in by_id}
    manifest = {
        "nodes": by_id,
        "sources": {},
        "unit_tests": {},
        "groups": {},
        "metadata": {},
        "parent_map": parents,
        "child_map": children,
    }
    shown = {c.name: c.asset_key.path[-1] for c in build_graph(manifest).checks.values()}
    assert shown == {
        "of_ephemeral": "last",
        "of_several": "last",
        "of_macros": "last",
        "named": "first",
    }


def test_only_the_streams_tables_are_said_to_come_from_kafka(graph: DbtGraph) -> None:
    """A source that is missing from ingest/sources.yml is nobody's here, and not Kafka's."""
    external = {spec.key: spec for spec in external_raw_assets(graph, extracted=())}
    assert {key for key, spec in external.items() if "kafka" in spec.kinds} == STREAM_KEYS
    unlisted = external[dg.AssetKey(["raw", "shop", "customers"])]
    assert "not listed in `ingest/sources.yml`" in str(unlisted.description)
    assert "stream" not in str(unlisted.description)
