"""The dbt project keeps its own rules: names, documentation, tests, shapes.

What dbt says about the project (its manifest) and what an empty build makes of it (the columns) are
compared with what the conventions ask. An exception belongs into the convention, with its reason.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import duckdb
import pytest
from support.shop_raw import KEYS, PROJECT, SCHEMAS, ShopLake, make_shop_lake

from ingest.sources import load_sources
from lakehouse.settings import Settings
from streaming.config import STREAMS
from streaming.landing import SOURCE, events_schema, windows_schema

Nodes = Mapping[str, dict[str, Any]]

PREFIX = {"log": "log", "intermediate": "int", "staging": "stg", "quarantine": "quarantine"}
# Named by those who asked for them; each holds both streams, so neither is a model of one table.
LEDGERS = {"stream_late_ledger", "stream_dead_letter"}
STREAM_SCHEMAS = {
    table: schema
    for stream in STREAMS.values()
    for table, schema in (
        (stream.events_table, events_schema(stream)),
        (stream.windows_table, windows_schema(stream)),
    )
}
RECORD = ("log_id", "topic", "topic_partition", "record_offset")
TOLD_MINUTE = ("log_id", "topic", "topic_partition", "device", "window_start")
# The key of every model, on which the tests below insist. A log has none: it repeats what landed.
MODEL_KEYS: dict[str, str | tuple[str, ...]] = {
    **{f"int_shop__{table}_judged": key for table, key in KEYS.items()},
    "int_shop__transaction_items_current": "transaction_item_id",
    **{f"stg_shop__{table}": key for table, key in KEYS.items()},
    **{f"quarantine_shop__{table}": "quarantine_key" for table in KEYS},
    "dim_customer": "customer_key",
    "dim_product": "product_key",
    "dim_campaign": "campaign_key",
    "dim_date": "date_key",
    "fct_sales": "sales_key",
    **{f"stg_stream__{stream}_events": ("device", "event_at") for stream in STREAMS},
    **{f"stg_stream__{stream}_windows": TOLD_MINUTE for stream in STREAMS},
    **{f"int_stream__{stream}_minutes_recounted": TOLD_MINUTE for stream in STREAMS},
    **{
        f"fct_{stream}_{length}": ("device", "window_start")
        for stream in STREAMS
        for length in ("minute", "five_minutes", "hour")
    },
    **dict.fromkeys(LEDGERS, RECORD),
}
NOT_SHARED_WITH_SPARK = {
    "qualify": r"\bqualify\b",
    "select * exclude": r"\*\s*exclude",
    "unnest": r"\bunnest\s*\(",
    "concat with NULLs": r"\bconcat\s*\(",
    "the clock, which no rebuild repeats": r"\b(current_timestamp|now\s*\(|current_date)",
    "floating point": r"\b(double|float|real)\b",
}


@pytest.fixture(scope="module")
def empty_build(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    lake = make_shop_lake(tmp_path_factory.mktemp("empty") / "root")
    lake.dbt("build")
    return lake


@pytest.fixture(scope="module")
def manifest(empty_build: ShopLake) -> dict[str, Any]:
    text = (empty_build.target / "manifest.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> Nodes:
    nodes = manifest["nodes"].values()
    return {node["name"]: node for node in nodes if node["resource_type"] == "model"}


def generic_tests(manifest: dict[str, Any], model: str) -> set[tuple[str, str | None]]:
    """Pairs of test and column that are declared for a model and not switched to a warning."""
    return {
        (node["test_metadata"]["name"], node["column_name"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and node.get("test_metadata")
        and (node["attached_node"] or "").endswith(f".{model}")
        and node["config"]["severity"].lower() == "error"
        and node["config"]["enabled"]
    }


def key_tests(manifest: dict[str, Any], model: str) -> set[tuple[str, ...]]:
    """The keys of several columns that are tested for a model."""
    return {
        tuple(node["test_metadata"]["kwargs"]["columns"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and (node.get("test_metadata") or {}).get("name") == "is_key"
        and (node["attached_node"] or "").endswith(f".{model}")
        and ("is_key", None) in generic_tests(manifest, model)
    }


def rule_ids() -> set[str]:
    text = "".join(path.read_text() for path in (PROJECT / "macros" / "rules").glob("*.sql"))
    return set(re.findall(r"'id': '(\w+)'", text))


def test_the_tables_of_dbt_are_those_of_the_extractor(manifest: dict[str, Any]) -> None:
    declared = {(spec.source, spec.name) for spec in load_sources(Settings(root=PROJECT.parent))}
    declared |= {(SOURCE, table) for table in STREAM_SCHEMAS}
    known = {(node["source_name"], node["name"]) for node in manifest["sources"].values()}
    assert known == declared


def test_the_declared_columns_of_a_source_are_those_of_its_raw_files(
    manifest: dict[str, Any],
) -> None:
    for source in manifest["sources"].values():
        schema = {**SCHEMAS, **STREAM_SCHEMAS}[source["name"]]
        assert list(source["columns"]) == [n for n in schema.names if not n.startswith("_")]
        assert all(column["data_type"] for column in source["columns"].values())


def test_the_declared_types_of_a_stream_are_those_of_its_raw_files(
    manifest: dict[str, Any],
) -> None:
    with duckdb.connect() as db:
        for source in manifest["sources"].values():
            if source["source_name"] == SOURCE:
                db.register("landed", STREAM_SCHEMAS[source["name"]].empty_table())
                kinds = ", ".join(
                    f"null::{column['data_type']} as {name}"
                    for name, column in source["columns"].items()
                )
                db.execute(f"create or replace table declared as select {kinds}")
                declared, landed = (
                    db.execute(
                        f"select column_name, column_type from (describe {table})"
                        " where not starts_with(column_name, '_')"
                    ).fetchall()
                    for table in ("declared", "landed")
                )
                assert declared == landed


def test_the_measures_of_dbt_are_those_of_the_streams(models: Nodes) -> None:
    """`stream_measures` lists them once more, because dbt cannot read Python."""
    for stream in STREAMS.values():
        measures = [measure.name for measure in stream.measures]
        columns = list(models[f"fct_{stream.name}_minute"]["columns"])
        assert [c.removesuffix("_sum") for c in columns if c.endswith("_sum")] == measures
        staged = models[f"stg_stream__{stream.name}_events"]["columns"]
        assert {*measures, *stream.attributes} < set(staged)


def test_every_model_lives_in_the_schema_of_its_folder_under_its_prefix(models: Nodes) -> None:
    for name, model in models.items():
        layer, source = model["fqn"][1:3]
        assert model["schema"] == layer
        prefix = rf"{PREFIX[layer]}_{source}__\w+" if layer in PREFIX else r"(dim|fct)_\w+"
        assert name in LEDGERS or re.fullmatch(prefix, name), (
            f"{name} is not named like a model of {layer}"
        )


def test_published_models_are_tables(manifest: dict[str, Any], models: Nodes) -> None:
    """Publishing copies tables; a view would be missing without a word."""
    published = {"staging", "quarantine", "marts"}
    views = [
        name
        for name, model in models.items()
        if model["schema"] in published
        and model["config"]["materialized"] not in {"table", "incremental"}
    ]
    assert views == []


def test_every_model_says_what_one_row_is(models: Nodes) -> None:
    silent = [n for n, model in models.items() if "One row per" not in model["description"]]
    assert silent == []


def test_documented_columns_are_the_real_ones_and_each_is_described(
    empty_build: ShopLake, models: Nodes
) -> None:
    rows = empty_build.query(
        "select table_name, column_name from duckdb_columns()"
        " where schema_name not in ('ops', 'main') and not internal order by column_index"
    )
    real: dict[str, list[str]] = {}
    for table, column in rows:
        real.setdefault(table, []).append(column)
    assert set(real) == set(models)
    for name, model in models.items():
        assert sorted(model["columns"]) == sorted(real[name]), name
        undescribed = [c for c, column in model["columns"].items() if not column["description"]]
        assert undescribed == [], name


def test_every_key_is_tested(manifest: dict[str, Any], models: Nodes) -> None:
    assert {n for n in models if not n.startswith("log_")} == set(MODEL_KEYS)
    for model, key in MODEL_KEYS.items():
        if isinstance(key, tuple):
            assert key in key_tests(manifest, model), f"{model} is not tested to be one per {key}"
            continue
        tests = generic_tests(manifest, model)
        assert ("unique", key) in tests, f"{model}.{key} is not tested to be unique"
        if not model.startswith("int_"):  # They hold keyless rows on their way to quarantine.
            assert ("not_null", key) in tests, f"{model}.{key} is not tested to be not null"


def test_every_foreign_key_of_a_fact_is_tested(manifest: dict[str, Any], models: Nodes) -> None:
    for name, model in models.items():
        if not name.startswith("fct_"):
            continue
        own = MODEL_KEYS[name]
        for column in (c for c in model["columns"] if c.endswith("_key") and c != own):
            tests = generic_tests(manifest, name)
            assert {("relationships", column), ("not_null", column)} <= tests, column


def test_every_source_is_counted_from_raw_to_quarantine(manifest: dict[str, Any]) -> None:
    for spec in load_sources(Settings(root=PROJECT.parent)):
        table = f"{spec.source}__{spec.name}"
        assert ("log_holds_all_commits", None) in generic_tests(manifest, f"log_{table}")
        tests = {test for test, _ in generic_tests(manifest, f"stg_{table}")}
        assert "raw_is_accounted_for" in tests
    for stream in STREAMS.values():
        for name in (stream.events_table, stream.windows_table):
            tests = {test for test, _ in generic_tests(manifest, f"log_{SOURCE}__{name}")}
            assert "log_holds_all_commits" in tests
        events = generic_tests(manifest, f"stg_{SOURCE}__{stream.events_table}")
        assert ("stream_is_accounted_for", None) in events
        minutes = generic_tests(manifest, f"fct_{stream.name}_minute")
        assert ("stream_agrees_with_the_recount", None) in minutes


def test_every_rule_has_a_unit_test_case(manifest: dict[str, Any]) -> None:
    expected = json.dumps([test["expect"] for test in manifest["unit_tests"].values()])
    assert rule_ids(), "the rules are found"
    assert {rule for rule in rule_ids() if rule not in expected} == set()


def test_marts_have_enforced_contracts(models: Nodes) -> None:
    open_ended = [
        name
        for name, model in models.items()
        if model["schema"] == "marts" and not model["config"]["contract"]["enforced"]
    ]
    assert open_ended == []


def test_personal_data_is_marked_in_every_layer(models: Nodes) -> None:
    personal = {"first_name", "last_name", "email", "phone", "street", "postal_code"}
    for name, model in models.items():
        for column in personal & set(model["columns"]):
            meta = model["columns"][column]["config"]["meta"]
            assert meta.get("pii") is True, f"{name}.{column} is not marked as personal data"


def test_every_mart_serves_an_exposure(manifest: dict[str, Any], models: Nodes) -> None:
    used = {n for e in manifest["exposures"].values() for n in e["depends_on"]["nodes"]}
    idle = [m["name"] for m in models.values() if m["schema"] == "marts"]
    assert [name for name in idle if f"model.lakehouse.{name}" not in used] == []


def test_only_log_models_read_sources(models: Nodes) -> None:
    readers = {n for n, m in models.items() if m["sources"]}
    assert readers == {n for n in models if n.startswith("log_")}


def test_models_end_in_their_last_step(models: Nodes) -> None:
    """Import CTEs first, one named step each, and `select *` from the last, sorted if need be."""
    for name, model in models.items():
        code = model["raw_code"]
        steps = re.findall(r"^(\w+) as \($", code, flags=re.MULTILINE)
        assert steps, f"{name} has no named step"
        ends = rf"select \* from {steps[-1]}(\norder by [\w, ]+)?"
        assert re.search(ends + r"\Z", code.rstrip()), name


def test_models_use_what_both_engines_share() -> None:
    for path in [*(PROJECT / "models").rglob("*.sql"), *(PROJECT / "macros").rglob("*.sql")]:
        if path.parent.name in {"raw", "publish"}:  # These talk to DuckDB's ledger by design.
            continue
        code = re.sub(r"\{#.*?#\}|--[^\n]*", "", path.read_text(), flags=re.DOTALL)
        for trap, pattern in NOT_SHARED_WITH_SPARK.items():
            assert not re.search(pattern, code), f"{path.name} uses {trap}"
