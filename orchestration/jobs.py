"""Jobs and the schedule: named selections of the one asset graph.

Here belongs which assets run together and when. Here does not belong an asset.
"""

from collections.abc import Sequence

import dagster as dg

from orchestration.publish_asset import KEY as PUBLISHED

DAILY_UTC = "0 2 * * *"
"""Two o'clock, UTC."""


def build_jobs(raw: Sequence[dg.AssetsDefinition], dbt: dg.AssetsDefinition) -> dg.Definitions:
    """Load, transform, and both.

    Args:
        raw: The raw assets, one definition for each source.
        dbt: The dbt assets; their checks include the tests of raw tables.
    """
    load = dg.define_asset_job(
        "load_raw",
        # Its checks are dbt tests, which the transformation runs.
        selection=dg.AssetSelection.assets(*raw).without_checks(),
        description="Extract what is new in every source table into the raw layer.",
    )
    transform = dg.define_asset_job(
        "transform_warehouse",
        selection=dg.AssetSelection.assets(dbt)
        | dg.AssetSelection.assets(PUBLISHED)
        | dg.AssetSelection.checks(*dbt.check_keys),
        description="Build and test every dbt model from raw, and publish when all is green.",
    )
    everything = dg.define_asset_job(
        "de_batch_pipeline",
        selection=dg.AssetSelection.all(),
        description="Extract, build, test and publish.",
    )
    daily = dg.ScheduleDefinition(
        name="daily_batch",
        job=everything,
        cron_schedule=DAILY_UTC,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every day at 02:00 UTC. Switch it on in the UI.",
    )
    return dg.Definitions(jobs=[load, transform, everything], schedules=[daily])
