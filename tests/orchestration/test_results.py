"""What becomes of dbt's results, and which nodes a selection means: functions, no process."""

from typing import Any

import dagster as dg
import pytest

from orchestration.dbt_assets import failure_of, select_nodes, to_results
from orchestration.dbt_build import BuildOutcome, NodeOutcome, parse_line, select_arguments
from orchestration.dbt_graph import DbtGraph
from orchestration.table_facts import TableFacts

MODEL = "model.lakehouse.dim_customer"


def outcome(unique_id: str, status: str, **more: Any) -> NodeOutcome:
    fields: dict[str, Any] = {"message": None, "failures": None, "seconds": 0.5, "sql": None}
    return NodeOutcome(unique_id=unique_id, status=status, **{**fields, **more})


def test_of(graph: DbtGraph, name: str) -> str:
    return next(unique_id for unique_id, check in graph.checks.items() if check.name == name)


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "passed", "severity"),
    [
        ("pass", True, "ERROR"),
        ("warn", False, "WARN"),
        ("fail", False, "ERROR"),
        ("error", False, "ERROR"),  # the test itself could not run
    ],
)
def test_a_test_is_a_check_result(
    graph: DbtGraph, status: str, passed: bool, severity: str
) -> None:
    unique_id = test_of(graph, "is_key_dim_customer_customer_key")
    node = outcome(unique_id, status, failures=3, message="Got 3", sql="select 1")
    (result,) = to_results(graph, node, "invocation", {})
    assert isinstance(result, dg.AssetCheckResult)
    assert (result.passed, result.severity.value) == (passed, severity)
    assert result.asset_key == dg.AssetKey(["marts", "dim_customer"])
    if not passed:
        assert result.metadata["failed_rows"].value == 3
        assert "Got 3" in str(result.metadata["message"].value)
        assert "select 1" in str(result.metadata["sql"].value)
        assert "--select is_key_dim_customer_customer_key" in str(result.metadata["again"].value)


def test_what_dbt_skipped_or_did_not_build_is_not_told(graph: DbtGraph) -> None:
    unique_id = test_of(graph, "is_key_dim_customer_customer_key")
    for node in (outcome(unique_id, "skipped"), outcome(MODEL, "skipped"), outcome(MODEL, "error")):
        assert list(to_results(graph, node, "invocation", {})) == []
    assert list(to_results(graph, outcome("exposure.lakehouse.x", "no-op"), "invocation", {})) == []


def test_a_table_tells_its_rows_and_columns(graph: DbtGraph) -> None:
    facts = {("marts", "dim_customer"): TableFacts(7, (("customer_key", "VARCHAR", "The key."),))}
    (result,) = to_results(graph, outcome(MODEL, "success"), "invocation", facts)
    assert isinstance(result, dg.MaterializeResult)
    assert result.metadata is not None
    assert result.metadata["dagster/row_count"] == 7
    schema = result.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    assert schema.columns == [dg.TableColumn("customer_key", "VARCHAR", description="The key.")]
    assert result.metadata["dagster/table_name"] == "lakehouse.marts.dim_customer"


def test_a_red_build_names_its_nodes_and_is_not_retried(graph: DbtGraph) -> None:
    nodes = (outcome(MODEL, "error"), outcome("test.lakehouse.unique_x.1", "fail"))
    skipped = outcome("model.lakehouse.fct_sales", "skipped")
    failure = failure_of(BuildOutcome("i", (*nodes, skipped), (), 1))
    assert "dim_customer (error), unique_x (fail)" in str(failure.description)
    assert "fct_sales" not in str(failure.description)
    assert failure.allow_retries is False


def test_a_project_that_dbt_cannot_read_is_told_in_dbts_words(graph: DbtGraph) -> None:
    failure = failure_of(BuildOutcome("", (), ("Compilation Error in model x",), 2))
    assert "Compilation Error in model x" in str(failure.description)


def test_a_selection_is_exactly_its_tables_and_checks(graph: DbtGraph) -> None:
    check = test_of(graph, "is_key_dim_customer_customer_key")
    chosen = select_nodes(
        graph,
        frozenset({graph.assets[MODEL].key}),
        frozenset({graph.checks[check].key}),
        has_version=True,
    )
    assert chosen == {MODEL, check}


def test_before_the_first_version_a_test_of_missing_tables_is_left_out(graph: DbtGraph) -> None:
    """On a fresh clone one mart alone can be materialized; its relationships cannot be tested."""
    facts = "model.lakehouse.fct_sales"
    relationship = test_of(
        graph, "relationships_fct_sales_customer_key__customer_key__ref_dim_customer_"
    )
    unique = test_of(graph, "is_key_fct_sales_sales_key")
    keys = frozenset({graph.assets[facts].key})
    checks = frozenset({graph.checks[relationship].key, graph.checks[unique].key})
    assert select_nodes(graph, keys, checks, has_version=False) == {facts, unique}
    assert select_nodes(graph, keys, checks, has_version=True) == {facts, unique, relationship}


def test_the_arguments_of_a_build() -> None:
    assert select_arguments(None) == ["build"]
    assert select_arguments(None, full_refresh=True) == ["build", "--full-refresh"]
    assert select_arguments(["p.b", "p.a"]) == [
        *("build", "--indirect-selection", "empty", "--select"),
        *("fqn:p.a", "fqn:p.b"),
    ]


def test_a_line_of_dbts_log() -> None:
    line = parse_line('{"info": {"level": "info", "name": "AdapterEventInfo", "msg": "waiting"}}')
    assert (line.text, line.level, line.is_notable) == ("waiting", "info", True)
    line = parse_line('{"info": {"level": "info", "name": "LogStartLine", "msg": "1 of 2"}}')
    assert not line.is_notable
    assert parse_line('{"info": {"level": "warn", "name": "X", "msg": "old"}}').is_notable
    assert parse_line("Segmentation fault").text == "Segmentation fault"
