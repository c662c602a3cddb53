"""The dbt project as one subsettable operation: its tables, and its tests as checks of them.

Here belongs the shell around ``dbt build``. What is which asset stands in ``dbt_graph``, how dbt
runs in ``dbt_build``. ``DbtCliResource`` is not used: it opens dbt's adapter in this process too,
and from 200 selected nodes on it runs a copy of the project, which would write another warehouse.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from lakehouse.publishing import current_id
from lakehouse.settings import Settings
from orchestration.dbt_build import BuildOutcome, LogLine, NodeOutcome, run_build, select_arguments
from orchestration.dbt_graph import DbtGraph
from orchestration.failures import retry_only_infrastructure
from orchestration.table_facts import Name, TableFacts, read_facts

_SHOWN_NODES = 5


class BuildConfig(dg.Config):
    """What the launchpad offers (shift-click on Materialize)."""

    full_refresh: bool = False


def build_dbt_assets(settings: Settings, graph: DbtGraph) -> dg.AssetsDefinition:
    """One operation that builds and tests what is selected, in one dbt process.

    Args:
        settings: The project.
        graph: Its tables and tests.
    """

    @dg.multi_asset(
        name="dbt_build",
        specs=[spec.replace_attributes(skippable=True) for spec in graph.assets.values()],
        check_specs=list(graph.checks.values()),
        can_subset=True,
        pool="dbt",
        # Tests of sources are checks of raw assets, which another operation makes.
        allow_arbitrary_check_specs=True,
    )
    def dbt_build(
        context: dg.AssetExecutionContext, config: BuildConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        with retry_only_infrastructure(context.retry_number):
            selected = _selected_nodes(context, graph, has_version=current_id(settings) is not None)
            arguments = select_arguments(
                None if selected == _all_nodes(graph) else _selectors(graph, selected),
                full_refresh=config.full_refresh,
            )
            context.log.info(f"dbt {arguments[0]}: {len(selected)} of {len(_all_nodes(graph))}")
            outcome = run_build(
                settings, arguments, run_id=context.run.run_id, on_line=lambda ln: _log(context, ln)
            )
            facts = read_facts(
                settings,
                [_name(graph, n) for n in outcome.nodes if n.unique_id in graph.assets],
                purpose=f"counting rows for Dagster run {context.run.run_id[:8]}",
            )
            for node in outcome.nodes:
                if node.unique_id in selected:
                    yield from to_results(graph, node, outcome.invocation_id, facts)
            if outcome.exit_code:
                raise failure_of(outcome)

    return dbt_build


def select_nodes(
    graph: DbtGraph,
    asset_keys: frozenset[dg.AssetKey],
    check_keys: frozenset[dg.AssetCheckKey],
    *,
    has_version: bool,
) -> frozenset[str]:
    """The dbt nodes of a selection.

    Args:
        graph: The project's tables and tests.
        asset_keys: Selected tables.
        check_keys: Selected checks.
        has_version: Whether something has been published, so that every table exists. If not, a
            test that also reads a table which is not selected is left out: it could only fail.
    """
    models = {unique_id for unique_id, spec in graph.assets.items() if spec.key in asset_keys}
    tests = {unique_id for unique_id, spec in graph.checks.items() if spec.key in check_keys}
    if not has_version:
        tests = {test for test in tests if _tables_read(graph, test) <= models}
    return frozenset(models | tests)


def to_results(
    graph: DbtGraph, node: NodeOutcome, invocation_id: str, facts: Mapping[Name, TableFacts]
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """What Dagster is told about a node; nothing if dbt skipped it or a table was not built.

    Args:
        graph: The project's tables and tests.
        node: How the node ended.
        invocation_id: The dbt run.
        facts: Rows and columns of the built tables.
    """
    shared: dict[str, Any] = {
        "dbt/unique_id": node.unique_id,
        "dbt/invocation_id": invocation_id,
        "dbt/status": node.status,
        "seconds": round(node.seconds, 3),
    }
    if spec := graph.assets.get(node.unique_id):
        if node.is_green:
            table = _table_metadata(graph, node, facts.get(_name(graph, node)))
            yield dg.MaterializeResult(asset_key=spec.key, metadata={**shared, **table})
    elif (check := graph.checks.get(node.unique_id)) and node.status != "skipped":
        yield dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=node.status == "pass",
            severity=_severity(node),
            metadata={**shared, **_finding(node)},
        )


def failure_of(outcome: BuildOutcome) -> dg.Failure:
    """The end of a build that is not green, in a sentence. Never retried: it would fail again.

    Args:
        outcome: What dbt did.
    """
    red = outcome.red
    named = ", ".join(f"{node.name} ({node.status})" for node in red[:_SHOWN_NODES])
    more = f" and {len(red) - _SHOWN_NODES} more" if len(red) > _SHOWN_NODES else ""
    cause = f"{named}{more}" if red else " ".join(outcome.errors[-1:]) or "dbt could not run"
    return dg.Failure(
        f"dbt build is not green: {cause}. Readers keep the version they have. "
        "Next: look at the failed checks or the log, mend the cause, then materialize again.",
        metadata={
            node.name: dg.MetadataValue.md(f"```\n{node.message or node.status}\n```")
            for node in red[:_SHOWN_NODES]
        },
        allow_retries=False,
    )


def _all_nodes(graph: DbtGraph) -> frozenset[str]:
    return frozenset({*graph.assets, *graph.checks})


def _selected_nodes(
    context: dg.AssetExecutionContext, graph: DbtGraph, *, has_version: bool
) -> frozenset[str]:
    return select_nodes(
        graph,
        frozenset(context.selected_asset_keys),
        frozenset(context.selected_asset_check_keys),
        has_version=has_version,
    )


def _tables_read(graph: DbtGraph, test: str) -> set[str]:
    return {p for p in graph.node(test)["depends_on"]["nodes"] if p in graph.assets}


def _selectors(graph: DbtGraph, selected: frozenset[str]) -> list[str]:
    return [".".join(graph.node(unique_id)["fqn"]) for unique_id in selected]


def _log(context: dg.AssetExecutionContext, line: LogLine) -> None:
    # All of it is in the step's output; beside the events only what a person should not miss.
    sys.stdout.write(line.text + "\n")
    if line.is_notable:
        log = {"warn": context.log.warning, "error": context.log.error}
        log.get(line.level, context.log.info)(line.text)


def _name(graph: DbtGraph, node: NodeOutcome) -> Name:
    properties = graph.node(node.unique_id)
    return properties["schema"], properties["alias"]


def _table_metadata(graph: DbtGraph, node: NodeOutcome, facts: TableFacts | None) -> dict[str, Any]:
    schema, table = _name(graph, node)
    metadata: dict[str, Any] = {"dagster/table_name": f"lakehouse.{schema}.{table}"}
    if facts is None:
        return metadata
    if facts.rows is not None:
        metadata["dagster/row_count"] = facts.rows
    columns = [dg.TableColumn(name, kind, description=text) for name, kind, text in facts.columns]
    return {**metadata, "dagster/column_schema": dg.TableSchema(columns)}


def _severity(node: NodeOutcome) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR


def _finding(node: NodeOutcome) -> dict[str, Any]:
    if node.status == "pass":
        return {}
    found: dict[str, Any] = {"again": f"dbt build --select {node.name}"}
    if node.failures is not None:
        found["failed_rows"] = node.failures
        # The command and not the rows: they may be personal, and the event log is kept for ever.
        found["rows"] = f"lake failures {node.name}"
    if node.message:
        found["message"] = dg.MetadataValue.md(f"```\n{node.message}\n```")
    if node.sql:
        found["sql"] = dg.MetadataValue.md(f"```sql\n{node.sql}\n```")
    return found
