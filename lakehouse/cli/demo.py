"""``lake demo``: one line a step, then a summary of 80 columns."""

from typing import TYPE_CHECKING, Annotated

import typer

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
    from lakehouse.demo.run import StepDone
    from lakehouse.demo.summary import Summary

_NAME_WIDTH, _TEXT_WIDTH = 26, 44
_TRY_NEXT = (
    ('lake sql "from marts.fct_sales limit 5"', "query it, or `lake sql` for a prompt"),
    ("make ui", "see tables and tests in Dagster"),
    ("lake rollback", "give readers the version before"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("lake demo", "lake demo --scale 0.1"))(demo)


def demo(
    scale: Annotated[
        float, typer.Option(min=0.001, help="Size of new data; 1 is 40,000 transactions.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 42,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Go the whole way once, from source to warehouse.

    Source, raw, tests, published warehouse, and all of it for the next day. Run
    again, it takes what is there and lets another business day pass.
    """
    from lakehouse.demo.run import log_path, run_demo
    from lakehouse.demo.summary import summarize

    settings = load_settings()
    _say(f"dbt's output goes to {_relative(settings, log_path(settings))}")
    run = run_demo(settings, scale=scale, seed=seed, tell=_tell, say=_say)
    summary = summarize(settings, run)
    if as_json:
        print_json(summary)
    else:
        _print(summary)


def _tell(step: "StepDone") -> None:
    text = step.text if len(step.text) <= _TEXT_WIDTH else step.text[: _TEXT_WIDTH - 1] + "…"
    _say(f"{step.name:<{_NAME_WIDTH}} {text:<{_TEXT_WIDTH}} {step.seconds:6.1f} s")


def _say(line: str) -> None:
    # Beside the summary, not in it: --json must be all that standard output holds.
    typer.echo(line, err=True)


def _print(summary: "Summary") -> None:
    console = make_console()
    console.print()
    print_table(
        console,
        {
            "source table": "left",
            "raw rows": "right",
            "staging": "right",
            "quarantine": "right",
            "watermark (UTC)": "left",
        },
        [
            (t.name, t.raw_rows, t.staging_rows, t.quarantine_rows, (t.watermark or "-")[:19])
            for t in summary.sources
        ],
    )
    console.print()
    print_table(console, {"mart": "left", "rows": "right"}, summary.marts.items())
    memory = f"{bytes_text(summary.peak_memory_bytes)} ({summary.memory_measure}, all processes)"
    typer.echo(f"\nPublished  version {summary.version}")
    typer.echo(f"Tests      {summary.tests_passed} of {summary.tests_total} passed")
    typer.echo(f"Took       {seconds_text(summary.seconds)}, peak memory {memory}")
    typer.echo("\nTry next")
    for command, what in _TRY_NEXT:
        typer.echo(f"  {command:<40} {what}")


def _relative(settings: Settings, path: object) -> str:
    return str(path).removeprefix(f"{settings.root}/")
