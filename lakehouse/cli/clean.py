"""``lake clean``: removes what was made, saying first what that is."""

from typing import Annotated

import typer

from lakehouse.cli.output import bytes_text, examples
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings

_SCOPES = ("build", "warehouse", "all")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("lake clean", "lake clean warehouse", "lake clean all --yes"))(
        clean
    )


def clean(
    scope: Annotated[str, typer.Argument(help="build, warehouse or all", show_default=True)] = (
        "build"
    ),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the build, the warehouse or everything.

    build: the build file, its logs and dbt's target; the next build makes them
    again.

    warehouse: also every published version; raw can rebuild the newest.

    all: also raw, the embedded database and Dagster's home; nothing brings them back.
    """
    from lakehouse.clean import clean as remove
    from lakehouse.clean import targets

    match scope:
        case "build" | "warehouse" | "all":
            chosen = scope
        case _:
            raise LakeError(f"there is no scope {scope!r}", f"choose from {', '.join(_SCOPES)}")
    settings = load_settings()
    found = targets(settings, chosen)
    if not found:
        typer.echo("There is nothing to remove.")
        return
    for target in found:
        place = target.path.relative_to(settings.root)
        size = bytes_text(target.size_bytes)
        warning = "  RAW: cannot be brought back" if target.path == settings.raw_dir else ""
        typer.echo(f"  {place!s:<28} {target.files:>7,} files  {size:>9}{warning}")
    if chosen == "all" and not yes:
        typer.confirm("Delete all of this, the raw layer included?", abort=True)
    removed = remove(settings, chosen)
    freed = sum(target.size_bytes for target in removed)
    typer.echo(f"Removed {sum(t.files for t in removed):,} files, {bytes_text(freed)}.")
