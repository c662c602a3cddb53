"""The batch layer's commands: ``extract`` and ``raw``.

``state`` and the like are in ``cli_state``, ``source`` in ``ingest.onboarding``.

Here belong arguments and how results look. Here does not belong anything that another caller than a
person at a terminal would need too.
"""

import sys
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from ingest import cli_state
from ingest.onboarding import cli as onboarding
from lakehouse.cli.output import WIDTH, examples, make_console, print_json, print_table
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from ingest.postgres import ExtractReport
    from ingest.sources import TableSpec
    from lakehouse.settings import Settings

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "lake extract",
            "lake extract customers transactions",
            "lake extract shop.customers --full",
            "lake extract --json",
        )
    )(extract)
    raw = typer.Typer(help="Look after the raw layer's commits.", no_args_is_help=True)
    raw.command(name="verify", epilog=examples("lake raw verify"))(verify_raw)
    raw.command(
        name="set-aside",
        epilog=examples("lake raw set-aside 20261120T190313123456Z-3fa9c1", "lake extract"),
    )(set_aside_raw)
    app.add_typer(raw, name="raw")
    cli_state.register(app)
    onboarding.register(app)


def extract(
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TABLE]...", help="Tables or sources; else all of them."),
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
    """Land what changed in the source databases as raw commits.

    A source that does not answer stops no other one. Safe to stop and to repeat
    at any time: it goes on after the last commit.
    """
    from ingest.postgres import ExtractionError
    from ingest.run import extract_sources
    from ingest.sources import load_sources, select_tables

    settings = load_settings()
    chosen = select_tables(load_sources(settings), tables)
    if not tables:
        chosen = _without_absent(settings, chosen)
    failure: ExtractionError | None = None
    try:
        reports: Sequence[ExtractReport] = extract_sources(
            settings, chosen, chunk_rows=chunk_rows, allow_deletes=allow_deletes, full=full
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


def verify_raw(as_json: _AsJson = False) -> None:
    """Re-read every raw commit against its checksums and its footer.

    Safe while extractors and builds run.
    """
    from lakehouse.raw.verify import verify

    results = list(verify(load_settings().raw_dir))
    bad = [result for result in results if result.problem]
    if as_json:
        print_json(
            [
                {"path": r.path, "rows": r.rows, "problem": str(r.problem) if r.problem else None}
                for r in results
            ]
        )
    else:
        for result in bad:
            source, table, _, name = result.path.parts[-4:]
            typer.echo(f"{name.removesuffix('.parquet')}  {source}.{table}")
            cause = result.problem.cause if result.problem else ""
            typer.echo(fill(cause, WIDTH, initial_indent="    ", subsequent_indent="    "))
        rows = sum(result.rows for result in results)
        typer.echo(f"{len(results):,} commits, {rows:,} rows, {len(bad)} damaged")
    if bad:
        raise LakeError(
            f"{len(bad)} of {len(results)} raw commits are damaged",
            "run `lake raw set-aside BATCH` for each, then `lake extract` and `lake build`",
        )


def set_aside_raw(
    batch: Annotated[str, typer.Argument(help="The commit's batch id, its file's name.")],
) -> None:
    """Hide a damaged commit from all readers and keep its bytes.

    The next `lake extract` reads its rows again from the source.
    """
    from lakehouse.raw.verify import set_aside

    aside = set_aside(load_settings().raw_dir, batch)
    typer.echo(f"Set aside as {aside}")
    typer.echo("Next: lake extract, then lake build")


def _without_absent(settings: "Settings", specs: "list[TableSpec]") -> "list[TableSpec]":
    """Leave out the demo's tables where there is no demo, if there is anything else."""
    from ingest.sources import by_source
    from lakehouse.source import source_absence

    kept: list[TableSpec] = []
    absent: list[str] = []
    for name, tables in by_source(specs).items():
        if absence := source_absence(settings, tables[0].dsn_env):
            absent.append(f"{name} is left out: {absence}")
        else:
            kept += tables
    if not kept:
        return specs
    for sentence in absent:
        typer.echo(sentence, err=True)
    return kept


def _show(reports: Sequence["ExtractReport"]) -> None:
    if sys.stdout.isatty():
        _show_table(reports)
    else:
        for report in reports:
            typer.echo(_line(report))
    for report in reports:
        for warning in report.warnings:
            typer.echo(f"{_name(report)}: {warning}", err=True)
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
            _name(report),
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
        return f"{_name(report)}: failed"
    found = f"{report.upserts:,} new, {report.deletes:,} deleted" if report.rows else "nothing new"
    complete = (
        f"complete below {_short(report.watermark_after) or 'nothing yet'}"
        if not (report.guarantee or "").startswith("full")
        else "read as a whole"
    )
    return (
        f"{_name(report)}: {found}; {complete}"
        f" ({(report.guarantee or 'unknown').split(':')[0]}), {report.seconds:.1f} s"
    )


def _name(report: "ExtractReport") -> str:
    return f"{report.source}.{report.table}"


def _short(watermark: str | None) -> str | None:
    """A watermark to the second: the exact one is in the JSON and in the footers."""
    return watermark.removesuffix("+00").split(".")[0] if watermark else None
