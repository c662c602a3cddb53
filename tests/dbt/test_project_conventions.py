"""The dbt project keeps its own rules: names, documentation, tests, shapes.

What dbt says about the project (its manifest) and what an empty build makes of it (the columns) are
compared with what the conventions ask. An exception belongs into the convention, with its reason.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.shop_raw import (
    DBT,
    KEYS,
    PROJECT,
    SCHEMAS,
    ShopLake,
    customer,
    hours,
    make_shop_lake,
)
from support.stream.declared import STREAMS

from ingest.sources import TableSpec, load_sources
from lakehouse.dbt.erd import render_erd
from lakehouse.raw.names import batch_time
from lakehouse.settings import Settings
from streaming.landing import SOURCE, events_schema, windows_schema

REPOSITORY = Path(__file__).resolve().parents[2]
Nodes = Mapping[str, dict[str, Any]]

SHOP = "shop"
PREFIX = {"staging": "(stg|base)", "intermediate": "int", "quarantine": "quarantine"}
# Named by those who asked for them; each holds several sources, so none is a model of one table.
OF_SEVERAL_SOURCES = {"stream_late_ledger", "stream_dead_letter"}
PUBLISHED = {"quarantine", "marts"}
STREAM_SCHEMAS = {
    table: schema
    for stream in STREAMS.values()
    for table, schema in (
        (stream.events_table, events_schema(stream)),
        (stream.windows_table, windows_schema(stream)),
    )
}
RECORD = ("log_id", "topic", "topic_partition", "record_offset")
COUNTED_MINUTE = ("log_id", "topic", "topic_partition", "device", "window_start")
# The key of every model, on which the tests below insist. A base model has none: it repeats what
# landed. Views that only filter have the key of what they filter.
MODEL_KEYS: dict[str, tuple[str, ...]] = {
    **{f"stg_shop__{table}": ("_record_key",) for table in KEYS},
    "int_shop__transactions_validated": ("_record_key",),
    "int_shop__transaction_items_validated": ("_record_key",),
    "dim_customer": ("customer_key",),
    "dim_product": ("product_key",),
    "dim_campaign": ("campaign_key",),
    "dim_date": ("date_key",),
    "fct_sales": ("sales_key",),
    "fct_receipts": ("transaction_id",),
    "fct_sales_day": ("date_key",),
    "fct_sales_month": ("year_month",),
    "fct_sales_quarter": ("year_quarter",),
    "fct_sales_campaign": ("campaign_key",),
    "fct_sales_city": ("country_code", "city"),
    "fct_customer_status": ("customer_id",),
    **{f"stg_stream__{stream}_events": ("device", "event_at") for stream in STREAMS},
    **{f"stg_stream__{stream}_windows": COUNTED_MINUTE for stream in STREAMS},
    **{f"int_stream__{stream}_minutes_recounted": COUNTED_MINUTE for stream in STREAMS},
    **{f"fct_{stream}_reading": ("device", "event_at") for stream in STREAMS},
    **{
        f"fct_{stream}_{length}": ("device", "window_start")
        for stream in STREAMS
        for length in ("minute", "five_minutes", "hour")
    },
    "stream_late_ledger": RECORD,
    "stream_dead_letter": RECORD,
    "accounting_shop": ("source_name", "table_name"),
    "accounting_stream": ("source_name", "table_name"),
}
FILTERS = {
    "int_shop__transactions_accepted",
    "int_shop__transaction_items_accepted",
    *(f"quarantine_shop__{table}" for table in KEYS),
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


def listed() -> tuple[TableSpec, ...]:
    """The tables that are extracted; a source besides the shop is one that was scaffolded."""
    return load_sources(Settings(root=PROJECT.parent))


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


def rules(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every declared rule by its id."""
    declared = [
        rule
        for source in manifest["sources"].values()
        for rule in source["config"]["meta"].get("rules", [])
    ]
    assert len({rule["id"] for rule in declared}) == len(declared), "ids are unique"
    return {rule["id"]: rule for rule in declared}


def test_the_tables_of_dbt_are_those_of_the_extractor(manifest: dict[str, Any]) -> None:
    declared = {(spec.source, spec.name) for spec in listed()}
    declared |= {(SOURCE, table) for table in STREAM_SCHEMAS}
    known = {(node["source_name"], node["name"]) for node in manifest["sources"].values()}
    assert known == declared


def test_the_declared_columns_of_a_source_are_those_of_its_raw_files(
    manifest: dict[str, Any],
) -> None:
    for source in manifest["sources"].values():
        if source["source_name"] == SHOP:
            schema = SCHEMAS[source["name"]]
            assert list(source["columns"]) == [n for n in schema.names if not n.startswith("_")]
            assert all(column["data_type"] for column in source["columns"].values())


def test_the_columns_of_a_stream_are_those_of_its_raw_files(empty_build: ShopLake) -> None:
    """Names and types: the macro and the application derive them from one declaration."""
    with duckdb.connect() as db:
        for table, schema in STREAM_SCHEMAS.items():
            db.register("landed", schema.empty_table())
            landed = db.execute("select column_name, column_type from (describe landed)").fetchall()
            read = empty_build.query(
                f"select column_name, column_type from (describe staging.base_stream__{table})"
            )
            assert sorted(read) == sorted(landed)


def test_the_key_and_the_time_of_a_source_are_those_of_the_extractor(
    manifest: dict[str, Any],
) -> None:
    metas = {
        (node["source_name"], node["name"]): node["config"]["meta"]
        for node in manifest["sources"].values()
    }
    for spec in listed():
        # Of other sources the names may be others: they are plain here.
        meta = metas[spec.source, spec.name]
        assert bool(meta.get("changed_at")) == bool(spec.cursor)
        assert meta["primary_key"]
        if spec.source == SHOP:
            assert meta["changed_at"] == spec.cursor
            assert meta["primary_key"] == list(spec.primary_key or [KEYS[spec.name]])


def test_the_measures_of_a_stream_are_columns_of_its_models(models: Nodes) -> None:
    for stream in STREAMS.values():
        measures = [measure.name for measure in stream.measures]
        columns = list(models[f"fct_{stream.name}_minute"]["columns"])
        assert [c.removesuffix("_sum") for c in columns if c.endswith("_sum")] == measures
        readings = models[f"fct_{stream.name}_reading"]["columns"]
        assert {*measures, *stream.attributes} < set(readings)


def test_every_model_lives_in_the_schema_of_its_folder_under_its_prefix(models: Nodes) -> None:
    for name, model in models.items():
        layer, source = model["fqn"][1:3]
        assert model["schema"] == layer
        named = r"\w+" if source in ("base", name) else source
        prefix = rf"{PREFIX[layer]}_{named}__\w+" if layer in PREFIX else r"(dim|fct)_\w+"
        known = name in OF_SEVERAL_SOURCES or name == f"accounting_{source}"
        assert known or re.fullmatch(prefix, name), f"{name} is not named like a model of {layer}"


def test_no_arrow_points_back(models: Nodes) -> None:
    """base, staging, intermediate, then marts and quarantine."""
    rank = {"base": 0, "staging": 1, "intermediate": 2, "quarantine": 3, "marts": 3}

    def layer(model: dict[str, Any]) -> int:
        return rank["base" if model["name"].startswith("base_") else model["schema"]]

    by_id = {model["unique_id"]: model for model in models.values()}
    for model in models.values():
        for parent in model["depends_on"]["nodes"]:
            if parent in by_id:
                assert layer(by_id[parent]) <= layer(model), f"{model['name']} reads {parent}"


def test_every_model_says_what_one_row_is(models: Nodes) -> None:
    silent = [n for n, model in models.items() if "One row per" not in model["description"]]
    assert silent == []


def test_documented_columns_are_the_real_ones_and_each_is_described(
    empty_build: ShopLake, models: Nodes
) -> None:
    """Of what is published every column; quarantine inherits the words of its source."""
    rows = empty_build.query(
        "select schema_name, table_name, column_name, comment from duckdb_columns()"
        " where schema_name not in ('ops', 'main') and not internal order by column_index"
    )
    real: dict[str, dict[str, str | None]] = {}
    for _, table, column, comment in rows:
        real.setdefault(table, {})[column] = comment
    assert set(real) == set(models)
    for name, model in models.items():
        assert set(model["columns"]) <= set(real[name]), f"{name} documents what it has not"
        if model["schema"] not in PUBLISHED:
            continue
        undescribed = [column for column, comment in real[name].items() if not comment]
        assert undescribed == [], name
        if model["schema"] == "marts":
            assert list(model["columns"]) and set(model["columns"]) == set(real[name]), name


def test_every_key_is_tested(manifest: dict[str, Any], models: Nodes) -> None:
    keys, filters = dict(MODEL_KEYS), set(FILTERS)
    for source in {spec.source for spec in listed()} - {SHOP}:
        keys[f"accounting_{source}"] = ("source_name", "table_name")
    for spec in (spec for spec in listed() if spec.source != SHOP):
        keys[f"stg_{spec.source}__{spec.name}"] = ("_record_key",)
        filters.add(f"quarantine_{spec.source}__{spec.name}")
    assert {n for n in models if not n.startswith("base_")} == {*keys, *filters}
    for model, key in keys.items():
        assert key in key_tests(manifest, model), f"{model} is not tested to be one per {key}"
    for model in filters:
        assert models[model]["config"]["materialized"] == "view"
        assert "join" not in models[model]["raw_code"], f"{model} does more than filter"


def test_every_foreign_key_of_a_fact_is_tested(manifest: dict[str, Any], models: Nodes) -> None:
    for name, model in models.items():
        if not name.startswith("fct_"):
            continue
        own = MODEL_KEYS[name]
        surrogate = {f"{name.removeprefix('fct_')}_key"} & {*own}
        for column in (c for c in model["columns"] if c.endswith("_key") and c not in surrogate):
            assert ("relationships", column) in generic_tests(manifest, name), column
            constraints = [c["type"] for c in model["columns"][column]["constraints"]]
            assert "not_null" in constraints, f"{column} may be NULL"


def test_every_source_is_counted_from_raw_to_quarantine(
    manifest: dict[str, Any], empty_build: ShopLake
) -> None:
    tables = [(spec.source, spec.name) for spec in listed()]
    tables += [(SOURCE, table) for table in STREAM_SCHEMAS]
    for source, table in tables:
        tests = generic_tests(manifest, f"base_{source}__{table}")
        assert ("base_holds_all_commits", None) in tests
    accounted = empty_build.query(
        " union all ".join(
            f"select source_name, table_name from quarantine.accounting_{source}"
            for source in {source for source, _ in tables}
        )
    )
    assert sorted(accounted) == sorted(tables)
    for stream in STREAMS.values():
        events = generic_tests(manifest, f"stg_{SOURCE}__{stream.events_table}")
        assert ("stream_is_accounted_for", None) in events
        minutes = generic_tests(manifest, f"fct_{stream.name}_minute")
        assert ("stream_agrees_with_the_recount", None) in minutes


def test_every_rule_is_complete_and_has_a_case(manifest: dict[str, Any]) -> None:
    cases = (Path(__file__).parent / "test_shop_models.py").read_text(encoding="utf-8")
    declared = rules(manifest)
    assert declared, "the rules are found"
    for name, rule in declared.items():
        assert {"column", "owner", "expect", "description"} <= set(rule), name
        assert name in cases, f"no case of test_shop_models.py breaks {name}"


def test_marts_have_enforced_contracts(models: Nodes) -> None:
    open_ended = [
        name
        for name, model in models.items()
        if model["schema"] == "marts" and not model["config"]["contract"]["enforced"]
    ]
    assert open_ended == []


def test_personal_data_is_marked_wherever_it_is_declared(
    manifest: dict[str, Any], models: Nodes
) -> None:
    personal = {"first_name", "last_name", "email", "phone", "street", "postal_code"}
    declared = {name: model["columns"] for name, model in models.items()}
    declared |= {node["unique_id"]: node["columns"] for node in manifest["sources"].values()}
    for name, columns in declared.items():
        for column in personal & set(columns):
            meta = columns[column]["config"]["meta"]
            assert meta.get("pii") is True, f"{name}.{column} is not marked as personal data"


def test_every_mart_serves_an_exposure(manifest: dict[str, Any], models: Nodes) -> None:
    used = {n for e in manifest["exposures"].values() for n in e["depends_on"]["nodes"]}
    idle = [m["name"] for m in models.values() if m["schema"] == "marts"]
    assert [name for name in idle if f"model.lakehouse.{name}" not in used] == []


def test_every_model_has_an_owner_and_only_what_is_published_is_public(
    manifest: dict[str, Any], models: Nodes
) -> None:
    """Base models are for all layers of their source; what follows them is private to its group."""
    owners = {group["name"]: group["owner"] for group in manifest["groups"].values()}
    for name, model in models.items():
        assert owners.get(model["config"]["group"], {}).get("email"), f"{name} has no owner"
        is_base = name.startswith("base_")
        expected = (
            "public" if model["schema"] in PUBLISHED else "protected" if is_base else "private"
        )
        assert model["access"] == expected, name


def test_every_exposure_says_where_it_is_and_whose(manifest: dict[str, Any]) -> None:
    for exposure in manifest["exposures"].values():
        assert exposure["url"], exposure["name"]
        assert exposure["owner"]["name"] and exposure["owner"]["email"], exposure["name"]


def test_every_metric_is_described_and_is_a_column_of_the_marts(
    manifest: dict[str, Any], models: Nodes
) -> None:
    assert manifest["metrics"], "the metrics are found"
    columns = {column for m in models.values() if m["schema"] == "marts" for column in m["columns"]}
    for metric in manifest["metrics"].values():
        assert metric["description"], metric["name"]
        assert metric["config"]["meta"]["column"] in columns, metric["name"]


def test_the_diagram_shows_every_published_table_as_it_is(
    manifest: dict[str, Any], empty_build: ShopLake
) -> None:
    drawn = (REPOSITORY / "docs" / "erd.md").read_text(encoding="utf-8")
    assert drawn == render_erd(manifest), "docs/erd.md is not current; run `make erd`"
    published = empty_build.query(
        f"select table_name from information_schema.tables where table_schema in {tuple(PUBLISHED)}"
    )
    assert len(published) > 20
    for (table,) in published:
        assert f"    {table} {{" in drawn or f"| `{table}` |" in drawn, table
    # What it shows, on a table that has all of it.
    assert "    dim_campaign ||--o{ fct_sales_campaign : campaign_key\n" in drawn
    assert "        string campaign_key PK, FK\n" in drawn
    assert "        int date_key PK\n        date full_date UK\n" in drawn


def test_selectors_choose_by_owner_reader_and_exposure(
    manifest: dict[str, Any], empty_build: ShopLake, models: Nodes
) -> None:
    arguments = ("--selector", "sales_overview", "--resource-type", "model", "--output", "name")
    chosen = {*empty_build.dbt("--quiet", "list", *arguments).split()}
    assert {"base_shop__campaigns", "fct_sales_month"} <= chosen
    assert not any("stream" in models[name]["fqn"] for name in chosen)
    # The others choose by one property, which the tests above ask of every model.
    values: dict[str, set[str]] = {
        s["definition"]["method"]: set() for s in manifest["selectors"].values()
    }
    for selector in manifest["selectors"].values():
        values[selector["definition"]["method"]].add(selector["definition"]["value"])
    assert values["group"] == {group["name"] for group in manifest["groups"].values()}
    assert values["access"] == {"public"}


def test_dbt_bouncer_finds_nothing(empty_build: ShopLake) -> None:
    """Its rules and each exception stand in ``dbt_project/dbt-bouncer.yml``."""
    done = subprocess.run(
        [DBT.with_name("dbt-bouncer"), "--config-file", PROJECT / "dbt-bouncer.yml"],
        env={**os.environ, "DBT_PROJECT_DIR": str(empty_build.root), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_source_freshness_is_the_age_of_the_newest_commit(
    empty_build: ShopLake, tmp_path: Path
) -> None:
    """Of commits that no build has seen yet; what has never landed is stale."""
    lake = make_shop_lake(tmp_path / "root", target=empty_build.target)
    lake.land("customers", hours(1), [customer(1)])
    newest = lake.land("customers", hours(2), [customer(2)])
    lake.dbt("source", "freshness", "--select", "source:shop", fails=True)
    results = json.loads((lake.target / "sources.json").read_text(encoding="utf-8"))["results"]
    found = {result["unique_id"].split(".")[-1]: result for result in results}
    assert {name: result["status"] for name, result in found.items()} == {
        "customers": "pass",
        "products": "warn",
        "campaigns": "warn",
        "transactions": "error",
        "transaction_items": "error",
    }
    loaded = datetime.fromisoformat(found["customers"]["max_loaded_at"])
    assert loaded == batch_time(newest)


def test_only_base_models_read_sources(models: Nodes) -> None:
    readers = {n for n, m in models.items() if m["sources"]}
    assert readers == {n for n in models if n.startswith("base_")}


def test_models_end_in_their_last_step(manifest: dict[str, Any], models: Nodes) -> None:
    """Import CTEs first, one named step each, and `select *` from the last, sorted if need be.

    The models of a stream are written once for all streams, in ``macros/stream``, and the
    accounting once for all sources, in ``macros/rules``.
    """
    family_call = r"\{\{ (\w+_stream_\w+|accounting)\('\w+'(, \w+)?\) \}\}\Z"
    for name, model in models.items():
        code = model["raw_code"]
        if family := re.search(family_call, code.strip()):
            macro = manifest["macros"][f"macro.lakehouse.{family[1]}"]["macro_sql"]
            code = re.sub(r"\s*\{%-? endmacro %\}\Z", "", macro)
        steps = re.findall(r"^(\w+) as \($", code, flags=re.MULTILINE)
        assert steps, f"{name} has no named step"
        ends = rf"select \* from {steps[-1]}(\norder by [\w, ]+)?"
        assert re.search(ends + r"\Z", code.rstrip()), name


def test_models_use_what_both_engines_share() -> None:
    for path in [*(PROJECT / "models").rglob("*.sql"), *(PROJECT / "macros").rglob("*.sql")]:
        if path.parent.name in {
            "raw",
            "publish",
            "incremental",
            "docs",
        }:  # DuckDB's side of the house.
            continue
        code = re.sub(r"\{#.*?#\}|--[^\n]*", "", path.read_text(), flags=re.DOTALL)
        for trap, pattern in NOT_SHARED_WITH_SPARK.items():
            assert not re.search(pattern, code), f"{path.name} uses {trap}"
