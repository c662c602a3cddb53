"""``lake status``: where every table stands, at 80 columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.here import as_typed
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
            as_typed(
                "\nNothing has landed yet. Next: `lake demo`, or `lake seed` and `lake extract`."
            ),
            markup=False,
        )
        return
    console.print()
    print_sources(console, found.sources)
    console.print()
    print_positions(console, found.sources)
    if found.marts:
        console.print()
        print_marts(console, found.marts)


def print_sources(console: "Console", sources: "Sequence[SourceTable]") -> None:
    """Print where the raw rows of each table are: the columns sum up to them.

    Args:
        console: Where to.
        sources: The tables.
    """
    has_unpublished = any(table.unpublished_rows for table in sources)
    rows = [
        (
            table.name,
            table.raw_rows,
            table.clean_rows,
            table.quarantined_rows,
            table.earlier_rows,
            *([table.unpublished_rows] if has_unpublished else []),
        )
        for table in sources
    ]
    if len(rows) > 1:
        columns = list(zip(*rows, strict=True))[1:]
        rows.append(("total", *(sum(count or 0 for count in column) for column in columns)))
    headings = ["raw rows", "current", "quarantined", "earlier"]
    headings += ["new"] if has_unpublished else []
    print_table(
        console,
        {"source table": "left", **dict.fromkeys(headings, "right")},
        rows,
        has_total=len(sources) > 1,
    )
    notes = "\n         + new (landed since what is published was built)" if has_unpublished else ""
    if any(table.earlier_rows and table.quarantined_rows is None for table in sources):
        notes += "\n- under quarantined: what was rejected is among the earlier rows"
    console.print(
        f"raw rows = current + quarantined + earlier (older versions, repeats, deletions){notes}",
        markup=False,
    )


def print_positions(console: "Console", sources: "Sequence[SourceTable]") -> None:
    """Print how far each table has been read.

    Args:
        console: Where to.
        sources: The tables.
    """
    print_table(
        console,
        {
            "source table": "left",
            "commits": "right",
            "complete up to (UTC)": "left",
            "extracted": "left",
        },
        [
            (
                table.name,
                table.commits,
                (table.watermark or "-").removesuffix("+00"),
                age_text(table.extracted_at) if table.extracted_at else None,
            )
            for table in sources
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
        lines["Versions"] = f"{found.kept_versions} kept, {bytes_text(found.kept_bytes)}"
    lines["Build file"] = f"held by {found.builder}" if found.builder else "free"
    if found.held_back:
        from lakehouse.publishing.held_back import name_nodes

        named = name_nodes(found.held_back.nodes, _SHOWN_NODES)
        lines["Held back"] = f"{age_text(found.held_back.at)} by {named}. " + as_typed(
            "Next: mend them and run `lake build`"
        )
    return lines
