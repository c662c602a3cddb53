"""``lake failures``: the rows that data tests have found."""

from typing import Annotated

import typer

from lakehouse.cli.output import age_text, examples, make_console, print_json, print_table
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "lake failures",
            "lake failures sum_of_lines",
            "lake failures sum_of_lines --csv > rows.csv",
        )
    )(failures)


def failures(
    test: Annotated[
        str | None,
        typer.Argument(help="A test's name or a part that only one has; without it, all tests"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many rows.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, all kept rows.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, all kept rows.")] = False,
) -> None:
    """Show the rows that red tests found when they last ran.

    Without a name it lists the tests. The rows were written aside when the test ran, so
    this waits for no build and disturbs none.
    """
    from datetime import datetime

    from lakehouse.dbt.failures import MOST_ROWS, find_failure, kept_failures

    settings = load_settings()
    if as_json and as_csv:
        raise LakeError("--json and --csv exclude each other", "choose one of them")
    if test is None:
        kept = kept_failures(settings)
        if as_json:
            print_json([each.rows for each in kept])
        elif kept:
            print_table(
                make_console(),
                {"test": "left", "status": "left", "rows": "right", "found": "left"},
                [
                    (
                        each.rows.test,
                        each.rows.status,
                        each.rows.found,
                        age_text(datetime.fromisoformat(each.rows.found_at)),
                    )
                    for each in kept
                ],
            )
        else:
            typer.echo("No data test has found a row when it last ran.")
        return
    from lakehouse.cli.duckdb_client import run_query
    from lakehouse.publishing.relations import literal

    found = find_failure(settings, test)
    form = "json" if as_json else "csv" if as_csv else None
    if form is None:
        shown = min(limit, found.rows.found)
        kept_text = f", {MOST_ROWS:,} of them kept" if found.rows.found > MOST_ROWS else ""
        typer.echo(f"{found.rows.test}: {found.rows.found:,} rows{kept_text}; {shown:,} shown")
    query = f"from read_parquet({literal(found.path)})"
    run_query(None, query if form else f"{query} limit {limit}", form=form)
