"""``lake doctor``: each check in a line, each problem in a line with its next command."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.here import as_typed
from lakehouse.cli.output import examples, make_console, print_json
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from lakehouse.doctor import Check, Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("lake doctor", "lake doctor --json"))(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that everything needed is there and works.

    Exits with 1 when there is a problem.
    """
    from lakehouse.doctor import run_checks

    results = run_checks(load_settings())
    problems = [
        f"{check.name}: {found.text}. Next: {found.next_step}."
        for check, found in results
        if found.outcome == "problem"
    ]
    if as_json:
        print_json([{"check": check.name, **asdict(found)} for check, found in results])
    else:
        _print(results)
        for line in problems:
            typer.echo(as_typed(line), err=True)
    raise typer.Exit(1 if problems else 0)


def _print(results: "list[tuple[Check, Finding]]") -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=8)
    grid.add_column(min_width=14)
    for check, found in results:
        text = found.text
        if found.outcome == "warning":
            text += f". Next: {found.next_step}"
        grid.add_row(
            Text(found.outcome, style=_STYLES[found.outcome]),
            Text(check.name),
            Text(as_typed(text)),
        )
    make_console().print(grid)
