"""The batch layer's commands: ``extract``, and those of ``cli_state``.

Here belong arguments and how results look. Here does not belong anything that another caller than a
person at a terminal would need too.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ingest import cli_state
from lakehouse.cli.output import examples, make_console, print_json, print_table
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from ingest.postgres import ExtractReport

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "lake extract",
            "lake extract customers transactions",
            "lake extract customers --full",
            "lake extract --json",
        )
    )(extract)
    cli_state.register(app)


def extract(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables; else all of them.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every row and land what differs from raw.")
    ] = False,
    allow_deletes: Annotated[
        bool, typer.Option("--allow-deletes", help="Accept any number of deleted rows.")
    ] = False,
    chunk_rows: Annotated[
        int, typer.Option(min=1, help="Most rows in one commit of a long read.")
    ] = 250_000,
    as_json: _AsJson = False,
) -> None:
    """Land what changed in the source database as raw commits.

    Safe to stop and to repeat at any time: it goes on after the last commit.
    """
    from ingest.postgres import ExtractionError, extract_tables
    from ingest.sources import load_sources, select_tables
    from lakehouse.source import source_dsn

    settings = load_settings()
    chosen = select_tables(load_sources(settings), tables)
    failure: ExtractionError | None = None
    try:
        with source_dsn(settings) as dsn:
            reports: Sequence[ExtractReport] = extract_tables(
                settings,
                dsn,
                chosen,
                chunk_rows=chunk_rows,
                allow_deletes=allow_deletes,
                full=full,
            )
    except ExtractionError as error:
        reports, failure = error.reports, error
    if as_json:
        print_json([report.as_dict() for report in reports])
    else:
        _show(reports)
    if failure is None:
        return
    for other in failure.errors[1:]:
        typer.echo(f"Error: {other}", err=True)
    raise failure.errors[0]


def _show(reports: Sequence["ExtractReport"]) -> None:
    if sys.stdout.isatty():
        _show_table(reports)
    else:
        for report in reports:
            typer.echo(_line(report))
    for report in reports:
        for warning in report.warnings:
            typer.echo(f"{report.table}: {warning}", err=True)
    doubts = {r.guarantee for r in reports if r.guarantee and r.guarantee.startswith("lookback")}
    for guarantee in sorted(doubts):
        typer.echo(f"The watermark is not exact: {guarantee}", err=True)


def _show_table(reports: Sequence["ExtractReport"]) -> None:
    columns = {
        "table": "left",
        "new": "right",
        "deleted": "right",
        "watermark (UTC)": "left",
        "guarantee": "left",
        "s": "right",
    }
    rows = [
        (
            report.table,
            "failed" if report.error else report.upserts,
            report.deletes,
            _short(report.watermark_after),
            (report.guarantee or "-").split(":")[0],
            f"{report.seconds:.1f}",
        )
        for report in reports
    ]
    print_table(make_console(), columns, rows)


def _line(report: "ExtractReport") -> str:
    if report.error:
        return f"{report.table}: failed"
    found = f"{report.upserts:,} new, {report.deletes:,} deleted" if report.rows else "nothing new"
    complete = (
        f"complete below {_short(report.watermark_after) or 'nothing yet'}"
        if not (report.guarantee or "").startswith("full")
        else "read as a whole"
    )
    return (
        f"{report.table}: {found}; {complete}"
        f" ({(report.guarantee or 'unknown').split(':')[0]}), {report.seconds:.1f} s"
    )


def _short(watermark: str | None) -> str | None:
    """A watermark to the second: the exact one is in the JSON and in the footers."""
    return watermark.removesuffix("+00").split(".")[0] if watermark else None
