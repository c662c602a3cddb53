"""The published warehouse as an asset: what readers see after a build.

Publishing happens at the end of ``dbt build``, however it was started. Here belongs telling what
came of it. Here does not belong publishing.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from lakehouse.publishing import Version, current_version, open_published
from lakehouse.publishing.held_back import name_nodes, read_held_back
from lakehouse.settings import Settings
from orchestration.failures import retry_only_infrastructure

KEY = dg.AssetKey("published_warehouse")


def build_publish_asset(
    settings: Settings, published: Sequence[dg.AssetKey]
) -> dg.AssetsDefinition:
    """The asset downstream of every table that readers get.

    Args:
        settings: The project.
        published: These tables.
    """

    @dg.asset(
        key=KEY,
        deps=published,
        group_name="publish",
        kinds={"duckdb"},
        description=(
            "The version of `warehouse/lakehouse.duckdb` that readers see. `dbt build` publishes "
            "it when every node and test is green; this asset reports it, or names what holds it "
            "back."
        ),
    )
    def published_warehouse(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with retry_only_infrastructure(context.retry_number):
            refuse_if_held_back(settings)
            version = current_version(settings)
            context.log.info(f"readers see version {version.id}")
            return dg.MaterializeResult(metadata=_describe(settings, version))

    return published_warehouse


def refuse_if_held_back(settings: Settings) -> None:
    """Fail with the names of the nodes that kept the last build from being published.

    Args:
        settings: The project.

    Raises:
        dg.Failure: The last build was held back.
    """
    held_back = read_held_back(settings)
    if held_back is None:
        return
    nodes = [f"- {name} ({status})" for name, status in held_back.nodes.items()]
    raise dg.Failure(
        f"The build of {held_back.at.isoformat()} was not published: "
        f"{name_nodes(held_back.nodes)}. Readers keep the version they have. Next: mend these and "
        "materialize them again, or run `lake build`.",
        metadata={"held_back_by": dg.MetadataValue.md("\n".join(nodes))},
        allow_retries=False,
    )


def _describe(settings: Settings, version: Version) -> dict[str, Any]:
    rows = "\n".join(f"| {table} | {count:,} |" for table, count in version.rows.items())
    return {
        "version": version.id,
        "published_at": version.published_at.isoformat(timespec="seconds"),
        "as_of": _as_of(settings, version),
        "size_bytes": version.size_bytes,
        "tables": len(version.rows),
        "rows": sum(version.rows.values()),
        "rows_per_table": dg.MetadataValue.md(f"| table | rows |\n|---|--:|\n{rows}"),
        "path": dg.MetadataValue.path(str(settings.published_file)),
    }


def _as_of(settings: Settings, version: Version) -> str:
    """Up to when the version knows its sources: the snapshot of its newest raw commit."""
    with open_published(settings, version.id) as connection:
        newest = connection.execute(
            "select strftime(max(extracted_at)::timestamp, '%Y-%m-%dT%H:%M:%SZ') from lake.commits"
        ).fetchone()
    return str(newest[0]) if newest and newest[0] else "no raw commit yet"
