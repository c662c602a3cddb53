"""Everything Dagster loads, assembled.

Keep implementations out of here: this module only puts the pieces together.
"""

import dagster as dg
import yaml

from ingest.sources import load_sources
from lakehouse.settings import Settings, load_settings
from orchestration.dbt_assets import build_dbt_assets
from orchestration.dbt_graph import build_graph
from orchestration.dbt_manifest import load_manifest
from orchestration.jobs import build_jobs
from orchestration.publish_asset import build_publish_asset
from orchestration.raw_assets import build_raw_assets, external_raw_assets


def build_definitions(settings: Settings) -> dg.Definitions:
    """The graph of one project.

    Args:
        settings: The project.

    Raises:
        LakeError: The table list or the dbt project cannot be read.
    """
    graph = build_graph(load_manifest(settings))
    raw = build_raw_assets(settings, load_sources(settings))
    extracted = {key for source in raw for key in source.keys}
    dbt = build_dbt_assets(settings, graph)
    published = build_publish_asset(settings, graph.keys_in_schemas(_public_schemas(settings)))
    assets = dg.Definitions(
        assets=[*raw, dbt, published, *external_raw_assets(graph, extracted)],
        # One process a run: with several, each step pays seconds of imports for minutes of nothing
        # to gain, as dbt runs its models in parallel by itself.
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(assets, build_jobs(raw, dbt))


def _public_schemas(settings: Settings) -> list[str]:
    project = yaml.safe_load((settings.dbt_dir / "dbt_project.yml").read_text(encoding="utf-8"))
    schemas: list[str] = project["vars"]["published_schemas"]
    return schemas


@dg.definitions
def definitions() -> dg.Definitions:
    """What ``dagster -m orchestration.definitions`` finds."""
    return build_definitions(load_settings())
