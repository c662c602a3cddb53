"""The commands ``lake state`` and ``lake reconcile``: where tables stand, moved, and proven.

Here belong arguments, questions and how results look. Here does not belong what is asked about.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.output import examples, print_json
from lakehouse.errors import LakeError
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from ingest.postgres import ExtractReport
    from ingest.sources import TableSpec

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_Table = Annotated[str, typer.Argument(help="The table.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("lake reconcile", "lake reconcile customers --repair"))(reconcile)
    state = typer.Typer(help="See and move where each table stands.", no_args_is_help=True)
    state.command(name="show", epilog=examples("lake state show", "lake state show customers"))(
        show_state
    )
    state.command(name="set", epilog=examples("lake state set customers '2026-01-01 00:00:00+00'"))(
        set_state
    )
    state.command(
        name="rewind",
        epilog=examples(
            "lake state rewind customers --to '2026-01-01'",
            "lake state rewind customers --commits 3",
        ),
    )(rewind)
    state.command(
        name="backfill",
        epilog=examples("lake state backfill customers --from 2026-01-01 --to 2026-02-01"),
    )(backfill)
    app.add_typer(state, name="state")


def reconcile(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables; else all of them.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Read the ranges again that differ.")
    ] = False,
    rows_a_range: Annotated[
        int, typer.Option(min=1, help="About how many rows are compared as one range.")
    ] = 20_000,
    as_json: _AsJson = False,
) -> None:
    """Prove that raw holds what the source holds.

    Lands what is new first, then compares counts and checksums of key ranges at
    one snapshot. Names the ranges that differ, and with --repair reads them again
    and nothing else.
    """
    reports, failure = _extracted(tables, reconcile=True, repair=repair, rows_a_range=rows_a_range)
    if as_json:
        print_json([report.as_dict() for report in reports])
    else:
        for report in reports:
            _show_ranges(report)
    if failure:
        raise failure
    if open_ranges := sum(not d.repaired for report in reports for d in report.ranges):
        raise LakeError(
            f"{open_ranges} ranges differ between the source and raw",
            "run `lake reconcile --repair`" if not repair else "run `lake reconcile` for details",
        )


def show_state(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables; else all of them.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Tell how far each table is landed and what the next run does."""
    from ingest.postgres.adjust import standing
    from ingest.sources import load_sources, select_tables

    settings = load_settings()
    found = [standing(settings, spec) for spec in select_tables(load_sources(settings), tables)]
    if as_json:
        print_json(found)
        return
    for table in found:
        typer.echo(f"{table.source}.{table.table}")
        for sentence in table.sentences():
            typer.echo(f"  {sentence}")
        if table.commits:
            typer.echo(
                f"  {table.rows:,} rows in {table.commits:,} commits, the newest of "
                f"{table.extracted_at:%Y-%m-%d %H:%M:%S} UTC"
            )
            typer.echo(f"  guarantee: {table.guarantee or 'unknown'}")


def set_state(
    table: _Table,
    watermark: Annotated[str, typer.Argument(help="The new watermark, a value of the cursor.")],
    yes: _Yes = False,
) -> None:
    """Move a table's watermark, after showing what that does.

    Raw stays as it is: a commit without rows notes the new watermark.
    """
    settings, spec = _table(table)
    _move(settings, spec, watermark, yes)


def rewind(
    table: _Table,
    to: Annotated[str | None, typer.Option(help="A value of the cursor.")] = None,
    commits: Annotated[
        int | None, typer.Option(min=1, help="As it was before so many commits.")
    ] = None,
    yes: _Yes = False,
) -> None:
    """Let the next run read again from an earlier watermark, after showing what that does."""
    from ingest.postgres.adjust import watermark_before

    if (to is None) == (commits is None):
        raise typer.BadParameter("name either --to or --commits")
    settings, spec = _table(table)
    target = to if to is not None else watermark_before(settings, spec, commits or 0)
    _move(settings, spec, target, yes, only_back=True)


def backfill(
    table: _Table,
    first: Annotated[str, typer.Option("--from", help="Smallest cursor to read.")],
    beyond: Annotated[str, typer.Option("--to", help="Smallest cursor beyond the range.")],
    yes: _Yes = False,
) -> None:
    """Read the rows with a cursor in a range again, now; the watermark stays where it is."""
    from ingest.postgres.adjust import range_condition, standing
    from lakehouse.source import source_dsn

    settings, spec = _table(table)
    if standing(settings, spec).watermark is None:
        raise LakeError(
            f"{spec.label} has not been loaded yet", f"run `lake extract {spec.name}` first"
        )
    with source_dsn(settings, spec.dsn_env) as dsn:
        condition, rows = range_condition(dsn, spec, first, beyond)
    typer.echo(
        f"{spec.label}: reads {rows:,} rows again, from {first} to before {beyond}, and lands "
        "those that differ; the watermark stays"
    )
    _ask(yes)
    reports, failure = _extracted([table], only=condition)
    if failure:
        raise failure
    typer.echo(f"{reports[0].rows_read:,} rows read, {reports[0].upserts:,} landed")


def _move(
    settings: Settings, spec: "TableSpec", to: str, yes: bool, *, only_back: bool = False
) -> None:
    from ingest.postgres.adjust import foretell, move
    from lakehouse.source import source_dsn

    with source_dsn(settings, spec.dsn_env) as dsn:
        step = foretell(settings, dsn, spec, to)
    if only_back and step.is_forward:
        raise LakeError(
            f"{step.then} lies after the watermark of {spec.label}, {step.now}",
            f"to skip rows, run `lake state set {spec.name} '{step.then}'`",
        )
    for sentence in step.sentences():
        typer.echo(sentence)
    _ask(yes)
    move(settings, step)
    typer.echo(f"Done. Next: lake extract {spec.name}")


def _ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise LakeError("nothing was done: nobody can be asked here", "add --yes to do it")
    if not typer.confirm("Do it?"):
        raise LakeError("nothing was done", "run the same command again to do it")


def _table(name: str) -> "tuple[Settings, TableSpec]":
    from ingest.sources import load_sources, select_tables

    settings = load_settings()
    chosen = select_tables(load_sources(settings), [name])
    if len(chosen) != 1:
        tables = ", ".join(spec.label for spec in chosen)
        raise LakeError(f"{name} is a source and not a table", f"choose from {tables}")
    return settings, chosen[0]


def _extracted(
    tables: list[str] | None,
    *,
    reconcile: bool = False,
    repair: bool = False,
    rows_a_range: int = 20_000,
    only: str | None = None,
) -> "tuple[Sequence[ExtractReport], LakeError | None]":
    from ingest.postgres import ExtractionError
    from ingest.run import extract_sources
    from ingest.sources import load_sources, select_tables

    settings = load_settings()
    chosen = select_tables(load_sources(settings), tables)
    try:
        return extract_sources(
            settings,
            chosen,
            reconcile=reconcile,
            repair=repair,
            rows_a_range=rows_a_range,
            only=only,
        ), None
    except ExtractionError as error:
        return error.reports, error


def _show_ranges(report: "ExtractReport") -> None:
    if report.error:
        typer.echo(f"{report.table}: failed: {report.error}")
    elif not report.ranges:
        typer.echo(f"{report.table}: source and raw agree in every range")
    else:
        for difference in report.ranges:
            typer.echo(f"{report.table}: {difference}")
