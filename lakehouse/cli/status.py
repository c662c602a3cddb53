"""``lake status``: where every table stands, at 80 columns."""

from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.output import (
    age_text,
    bytes_text,
    examples,
    make_console,
    print_json,
    print_table,
)
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.status import SourceTable, Status

_SHOWN_NODES = 8


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("lake status", "lake status --json"))(status)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what landed and what is published.

    Also what holds publishing back, if anything does. Never waits for a build
    and never opens the build file.
    """
    from lakehouse.status import collect

    found = collect(load_settings())
    if as_json:
        print_json(found)
        return
    console = make_console()
    _print_head(console, found)
    if not found.sources:
        console.print(
            "\nNothing has landed yet. Next: `lake demo`, or `lake seed` and `lake extract`.",
            markup=False,
        )
        return
    console.print()
    print_sources(console, found.sources)
    if found.marts:
        console.print()
        print_marts(console, found.marts)


def print_sources(console: "Console", sources: "tuple[SourceTable, ...]") -> None:
    """Print the source tables: what is in each layer, then how far each has been read."""
    print_table(
        console,
        {
            "source table": "left",
            "commits": "right",
            "raw rows": "right",
            "staging": "right",
            "quarantine": "right",
            "to publish": "right",
        },
        [
            (
                t.name,
                t.commits,
                t.raw_rows,
                t.staging_rows,
                t.quarantine_rows,
                t.unpublished_commits or None,
            )
            for t in sources
        ],
    )
    console.print()
    print_table(
        console,
        {"source table": "left", "complete up to (watermark)": "left", "extracted": "left"},
        [
            (t.name, t.watermark, age_text(t.extracted_at) if t.extracted_at else None)
            for t in sources
        ],
    )


def print_marts(console: "Console", marts: dict[str, int]) -> None:
    """Print the marts and their rows."""
    print_table(console, {"published mart": "left", "rows": "right"}, marts.items())


def _print_head(console: "Console", found: "Status") -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for label, text in _head(found).items():
        grid.add_row(Text(label, style="bold"), Text(text))
    console.print(grid)


def _head(found: "Status") -> dict[str, str]:
    version = found.published
    lines = {"Published": "nothing yet"}
    if version:
        rolled_back = ", rolled back" if found.is_rolled_back else ""
        lines["Published"] = (
            f"version {version.id}, {age_text(version.published_at)}, "
            f"{bytes_text(version.size_bytes)}{rolled_back}"
        )
    lines["Build file"] = f"held by {found.builder}" if found.builder else "free"
    if found.held_back:
        from lakehouse.publishing.held_back import name_nodes

        named = name_nodes(found.held_back.nodes, _SHOWN_NODES)
        lines["Held back"] = (
            f"{age_text(found.held_back.at)} by {named}. Next: mend them and run `lake build`"
        )
    return lines
