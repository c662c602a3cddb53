"""The raw layer as assets: one for each table of ``ingest/sources.yml``, and those others land.

Here belongs calling the extractor for the selected tables and showing its report. Here does not
belong how rows are found.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dagster as dg

from ingest.postgres import ExtractionError, ExtractReport, extract_tables
from ingest.sources import TableSpec, by_source
from lakehouse.raw import RawTable
from lakehouse.settings import Settings
from lakehouse.source import fill_source, source_dsn
from orchestration.dbt_graph import DbtGraph
from orchestration.failures import retry_only_infrastructure


def raw_key(table: TableSpec) -> dg.AssetKey:
    """The asset of a table; dbt's source of the same name maps to it."""
    return dg.AssetKey(["raw", table.source, table.name])


def build_raw_assets(settings: Settings, tables: Sequence[TableSpec]) -> list[dg.AssetsDefinition]:
    """One operation for all tables of a source: they share one snapshot, and no other's trouble.

    Args:
        settings: The project.
        tables: The list of tables.
    """
    return [_source_assets(settings, name, specs) for name, specs in by_source(tables).items()]


def _source_assets(
    settings: Settings, name: str, tables: Sequence[TableSpec]
) -> dg.AssetsDefinition:
    variable = tables[0].dsn_env

    @dg.multi_asset(
        name=f"extract_{name}",
        specs=[_spec(table) for table in tables],
        can_subset=True,
        pool="extract",
    )
    def extract(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        # Held throughout, so that a server that has to be started is started once.
        with (
            retry_only_infrastructure(context.retry_number),
            source_dsn(settings, variable) as dsn,
        ):
            chosen = [t for t in tables if raw_key(t) in context.selected_asset_keys]
            by_label = {table.label: table for table in chosen}
            filled = fill_source(settings, context.log.info, variable)
            failure: ExtractionError | None = None
            try:
                reports: Sequence[ExtractReport] = extract_tables(settings, dsn, chosen)
            except ExtractionError as error:
                reports, failure = error.reports, error
            for report in reports:
                label = f"{report.source}.{report.table}"
                for warning in report.warnings:
                    context.log.warning(f"{label}: {warning}")
                if report.error is not None:
                    context.log.error(f"{label}: {report.error}")
                    continue
                metadata = describe(settings, by_label[label], report)
                if filled:
                    metadata["source"] = filled
                context.log.info(f"{label}: {metadata['result']}")
                yield dg.MaterializeResult(asset_key=raw_key(by_label[label]), metadata=metadata)
            if failure:
                raise failure

    return extract


def external_raw_assets(graph: DbtGraph, extracted: Collection[dg.AssetKey]) -> list[dg.AssetSpec]:
    """The raw tables that dbt reads and no operation here writes.

    Those of the source ``stream`` are landed by `lake stream run`. Of any other nothing here knows
    who lands it: it may be missing from ``ingest/sources.yml``. They are shown upstream of their
    models and cannot be materialized.

    Args:
        graph: The dbt project.
        extracted: The raw tables that have an operation.
    """
    specs = []
    for unique_id, key in graph.sources.items():
        if key in extracted:
            continue
        source = graph.node(unique_id)
        is_stream = source["source_name"] == "stream"
        landed = (
            "`lake stream run` lands them."
            if is_stream
            else "Nothing here lands it: it is not listed in `ingest/sources.yml`."
        )
        specs.append(
            dg.AssetSpec(
                key,
                group_name="raw",
                kinds={"kafka", "parquet"} if is_stream else {"parquet"},
                description=f"{source['description']} {landed}".strip(),
            )
        )
    return specs


def describe(settings: Settings, table: TableSpec, report: ExtractReport) -> dict[str, Any]:
    """What an extraction of one table did, as metadata.

    Args:
        settings: The project.
        table: The table.
        report: The extractor's own account.
    """
    raw = RawTable(settings.raw_dir, table.source, table.name)
    commits = len(report.batches)
    landed = f"{report.rows:,} rows in {commits} commit{'s' if commits != 1 else ''}"
    return {
        "result": landed if commits else "nothing new",
        "rows": report.rows,
        "upserts": report.upserts,
        "tombstones": report.deletes,
        "watermark_before": report.watermark_before or "none",
        "watermark_after": report.watermark_after or "none",
        "guarantee": report.guarantee or "unknown",
        "commits": commits,
        "bytes": sum(raw.path_of(batch).stat().st_size for batch in report.batches),
        "seconds": round(report.seconds, 3),
        **({"warnings": "\n".join(report.warnings)} if report.warnings else {}),
    }


def _spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_key(table),
        group_name="raw",
        kinds={"postgres", "parquet"},
        skippable=True,
        description=(
            f"Every extracted row version of `{table.origin}`, as append-only commits in "
            f" `data/raw/{table.source}/{table.name}`."
        ),
        metadata={
            "primary_key": ", ".join(table.primary_key) or "as declared in the database",
            "cursor": table.cursor or "none: every run reads all rows",
            "lookback": table.lookback.text,
            "deletes": table.deletes,
        },
    )
