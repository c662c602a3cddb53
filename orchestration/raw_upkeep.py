"""Compacting the raw layer as a job, for whoever lets Dagster run all day.

Here belongs when it runs and how its account is shown. What it does is ``lakehouse.raw.compact``.
"""

import dagster as dg

from lakehouse.locks import LockHeldError, current_holder
from lakehouse.raw import raw_tables
from lakehouse.raw.compact import compact
from lakehouse.settings import Settings

TEN_MINUTES = "*/10 * * * *"


def build_raw_upkeep(settings: Settings) -> dg.Definitions:
    """The job and its schedule, which is off until somebody switches it on.

    Args:
        settings: The project.
    """

    @dg.op
    def compact_raw_tables(context: dg.OpExecutionContext) -> None:
        damaged = []
        for table in raw_tables(settings.raw_dir):
            try:
                is_free = current_holder(settings.build_lock) is None
                account = compact(table, may_remove=is_free)
            except LockHeldError as held:
                context.log.info(f"{table.source}.{table.table}: {held}")
                continue
            damaged += account.problems
            if not account.is_idle:
                context.log.info(
                    f"{account.table}: {account.replaced:,} files became {account.made:,},"
                    f" {account.removed:,} replaced files were removed"
                )
        for problem in damaged:
            context.log.error(str(problem))
        if damaged:
            raise damaged[0]

    @dg.job(
        name="compact_raw",
        description="Make few large raw files of many small ones; every commit stays what it was.",
    )
    def compact_raw() -> None:
        compact_raw_tables()

    return dg.Definitions(
        jobs=[compact_raw],
        schedules=[
            dg.ScheduleDefinition(
                name="raw_compaction",
                job=compact_raw,
                cron_schedule=TEN_MINUTES,
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.STOPPED,
                description="Every ten minutes. Switch it on in the UI.",
            )
        ],
    )
