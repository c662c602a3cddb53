"""The demo's steps with the shop: fill it, extract it, let a day pass, extract what changed.

Here belongs calling ``demo.shop`` and ``ingest`` in the demo's order. Here does not belong anything
that the commands ``lake seed``, ``simulate-day`` and ``extract`` do not do, too.
"""

from collections.abc import Sequence

from demo.step import DemoContext, DemoStep


def steps() -> Sequence[DemoStep]:
    """The steps of the batch way, in order."""
    return (
        DemoStep("Start PostgreSQL", _start, "first build"),
        DemoStep("Fill the shop", _fill, "first build"),
        DemoStep("Extract to raw", _extract, "first build"),
        DemoStep("Let a business day pass", _live, "second build"),
        DemoStep("Extract what changed", _extract, "second build"),
    )


def _start(context: DemoContext) -> str:
    from demo.database import VARIABLE, named_dsn, open_database
    from demo.postgres.embedded import SUPERUSER
    from demo.shop.connection import shop_connection

    # Held to the demo's end, so that the steps after it find the server up.
    dsn = context.resources.enter_context(open_database(context.settings, SUPERUSER))
    with shop_connection(dsn, purpose="demo") as connection:
        version = connection.info.server_version
    where = f"at {VARIABLE}" if named_dsn(context.settings) else "on a private socket"
    return f"version {version // 10_000}.{version % 10_000} {where}"


def _fill(context: DemoContext) -> str:
    from demo.database import open_database
    from demo.postgres.embedded import SUPERUSER
    from demo.shop import is_filled, seed

    with open_database(context.settings, SUPERUSER) as dsn:
        if is_filled(dsn):
            return "kept as it is"
        report = seed(dsn, seed=context.seed, scale=context.scale, progress=True)
    return f"{report.rows['transactions']:,} sales of {report.rows['customers']:,} customers"


def _live(context: DemoContext) -> str:
    from demo.database import open_database
    from demo.postgres.embedded import SUPERUSER
    from demo.shop import simulate_day

    with open_database(context.settings, SUPERUSER) as dsn:
        report = simulate_day(dsn, seed=context.seed, progress=True)
    new, changed, gone = (
        sum(counts.get(kind, 0) for counts in report.tables.values())
        for kind in ("inserted", "updated", "deleted")
    )
    return f"{new:,} new rows, {changed:,} changed, {gone:,} deleted"


def _extract(context: DemoContext) -> str:
    from demo.database import open_database
    from ingest.postgres import extract_tables
    from ingest.sources import load_sources
    from lakehouse.source import DEFAULT_VARIABLE

    # The sources that name a database of their own are not the demo's.
    specs = load_sources(context.settings)
    tables = [spec for spec in specs if spec.dsn_env == DEFAULT_VARIABLE]
    with open_database(context.settings) as dsn:
        reports = extract_tables(context.settings, dsn, tables)
    batches = sum(len(report.batches) for report in reports)
    if not batches:
        return "nothing new"
    deletes = sum(report.deletes for report in reports)
    gone = f", {deletes:,} of them deletes" if deletes else ""
    return f"{sum(report.rows for report in reports):,} rows in {batches} commits{gone}"
