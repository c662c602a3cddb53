"""``lake versions``, ``rollback`` and ``sql``: what has been published, and reading it."""

import sys
from typing import Annotated

import typer

from lakehouse.cli.here import as_typed
from lakehouse.cli.output import (
    age_text,
    bytes_text,
    examples,
    make_console,
    moment_text,
    print_json,
    print_table,
)
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings

_HINT = """\
Read-only prompt on the published warehouse; it keeps this version while open.
Schemas: marts (the star), staging, quarantine, lake (what this version is).
Try: .tables   describe marts.fct_sales;   from lake.tables;   leave with .quit"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("lake versions"))(versions)
    app.command(epilog=examples("lake rollback", "lake rollback 20261120T19"))(rollback)
    app.command(
        epilog=examples(
            "lake sql",
            'lake sql "from marts.fct_sales limit 5"',
            'lake sql --as-of "2026-11-20 19:30" "from lake.version"',
            'lake sql --csv --as-of 2026-11-20 "from lake.tables" > tables.csv',
        )
    )(sql)


def versions(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the published versions, newest first."""
    from lakehouse.publishing import NoVersionError, list_versions

    found = list_versions(load_settings())
    if as_json:
        print_json(found)
        return
    if not found:
        raise NoVersionError("nothing has been published yet", "run `make demo` or `lake build`")
    print_table(
        make_console(),
        {"": "left", "version": "left", "published": "left", "size": "right", "rows": "right"},
        [
            (
                "*" if version.is_current else "",
                version.id,
                age_text(version.published_at),
                bytes_text(version.size_bytes),
                sum(version.rows.values()),
            )
            for version in found
        ],
    )
    typer.echo("* what readers see")


def rollback(
    version: Annotated[
        str | None,
        typer.Argument(help="Its id or a part that only one has; without it, the one before"),
    ] = None,
) -> None:
    """Show readers an earlier version of the warehouse.

    Sessions that are open keep the version they have.
    """
    from lakehouse.publishing import rollback as roll_back

    now = roll_back(load_settings(), version)
    typer.echo(f"Readers now see version {now.id}, published {moment_text(now.published_at)} UTC.")
    typer.echo(
        as_typed("The next build with new content publishes again; see also `lake versions`.")
    )


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="SQL or a dot command such as .tables; without it, a prompt"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|TIME",
            help="Read an earlier version: its id, a part of that, or a time in UTC.",
        ),
    ] = None,
) -> None:
    """Query the published warehouse, read-only.

    Without a query it opens a prompt. Never waits for a build and never blocks one.
    A time given to --as-of chooses the newest version published by then; a date
    stands for the end of that day.
    """
    from lakehouse.cli.duckdb_client import open_prompt, published_path, run_query

    if as_json and as_csv:
        raise LakeError("--json and --csv exclude each other", "choose one of them")
    path = published_path(load_settings(), as_of)
    sys.stdout.flush()
    if query is not None:
        run_query(path, query, form="json" if as_json else "csv" if as_csv else None)
        return
    if sys.stdin.isatty():
        typer.echo(_HINT, err=True)
    open_prompt(path)
