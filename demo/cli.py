"""The demo's commands: ``demo``, ``seed``, ``simulate-day`` and ``stream produce``."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from demo.sensors import cli as sensors
from lakehouse.cli.here import command
from lakehouse.cli.output import (
    bytes_text,
    examples,
    make_console,
    print_json,
    print_table,
    seconds_text,
)
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from demo.run import StepDone
    from demo.summary import Summary

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_NAME_WIDTH, _TEXT_WIDTH = 26, 44
_TRY_NEXT = (
    ('lake sql "from marts.fct_sales limit 5"', "query it"),
    ("lake sql", "get a prompt"),
    ("lake ui", "see tables and tests in Dagster"),
    ("lake rollback", "give readers the version before"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("lake demo", "lake demo --scale 0.1"))(demo)
    app.command(epilog=examples("lake seed", "lake seed --scale 10 --seed 7"))(seed)
    app.command(name="simulate-day", epilog=examples("lake simulate-day"))(simulate_day)
    sensors.register(app)


def demo(
    scale: Annotated[
        float, typer.Option(min=0.001, help="Size of new data; 1 is 40,000 transactions.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 42,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run everything once, from source to warehouse.

    Fills a shop, extracts it, builds, tests and publishes; then the same for the
    changes of the next day. Run again, it keeps what is there and lets another
    business day pass.

    The shop is in a PostgreSQL of the demo's own; LAKE_DEMO_DSN names another.
    """
    from demo.run import run_demo
    from demo.summary import summarize
    from lakehouse.dbt.build import logs_dir

    settings = load_settings()
    _say(f"dbt's output goes to {_relative(settings, logs_dir(settings))}")
    run = run_demo(settings, scale=scale, seed=seed, tell=_tell, say=_say)
    summary = summarize(settings, run)
    if as_json:
        print_json(summary)
    else:
        _print(summary)


def seed(
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 42,
    scale: Annotated[
        float, typer.Option(help="Size; 1 is 5,000 customers and 40,000 sales.")
    ] = 1.0,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="Last day of the two years of history; without it, today.",
        ),
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Drop the demo's shop and all its rows first.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Create the demo's shop in PostgreSQL and fill it.

    In a PostgreSQL of the demo's own; LAKE_DEMO_DSN names another.
    """
    from demo.database import open_database
    from demo.postgres.embedded import SUPERUSER
    from demo.shop import seed as seed_shop

    last_day: date | None = until.date() if until else None
    with open_database(load_settings(), SUPERUSER) as dsn:
        report = seed_shop(
            dsn, seed=seed, scale=scale, until=last_day, reset=reset, progress=not as_json
        )
    if as_json:
        print_json(report)
        return
    print_table(make_console(), {"table": "left", "rows": "right"}, report.rows.items())
    typer.echo(f"Seed {report.seed}, history until {report.until}. Next: {command('lake extract')}")


def simulate_day(
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 42,
    as_json: _AsJson = False,
) -> None:
    """Let a business day pass in the demo's shop.

    It brings new customers and sales, changes, corrections, a few deletes and
    rows that arrive late.

    The shop is in a PostgreSQL of the demo's own; LAKE_DEMO_DSN names another.
    """
    from demo.database import open_database
    from demo.postgres.embedded import SUPERUSER
    from demo.shop import simulate_day as live_a_day

    with open_database(load_settings(), SUPERUSER) as dsn:
        report = live_a_day(dsn, seed=seed, progress=not as_json)
    if as_json:
        print_json(report)
        return
    kinds = ("inserted", "updated", "deleted")
    print_table(
        make_console(),
        {"table": "left", **dict.fromkeys(kinds, "right")},
        [(name, *(n.get(kind, 0) for kind in kinds)) for name, n in report.tables.items()],
    )
    typer.echo(f"Next: {command('lake extract')}")


def _tell(step: "StepDone") -> None:
    text = step.text if len(step.text) <= _TEXT_WIDTH else step.text[: _TEXT_WIDTH - 1] + "…"
    _say(f"{step.name:<{_NAME_WIDTH}} {text:<{_TEXT_WIDTH}} {step.seconds:6.1f} s")


def _say(line: str) -> None:
    # Beside the summary, not in it: --json must be all that standard output holds.
    typer.echo(line, err=True)


def _print(summary: "Summary") -> None:
    from lakehouse.cli.status import print_sources

    console = make_console()
    console.print()
    print_sources(console, summary.sources)
    console.print()
    print_table(console, {"mart": "left", "rows": "right"}, summary.marts.items())
    memory = f"{bytes_text(summary.peak_memory_bytes)} ({summary.memory_measure}, all processes)"
    typer.echo(f"\nPublished  version {summary.version}")
    typer.echo(f"Tests      {summary.tests_passed} of {summary.tests_total} passed")
    typer.echo(f"Took       {seconds_text(summary.seconds)}, peak memory {memory}")
    typer.echo("\nTry next")
    hints = {command(text): what for text, what in _TRY_NEXT}
    width = max(map(len, hints))
    for text, what in hints.items():
        typer.echo(f"  {text:<{width}}  {what}")


def _relative(settings: Settings, path: object) -> str:
    return str(path).removeprefix(f"{settings.root}/")
