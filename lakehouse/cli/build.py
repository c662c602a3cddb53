"""``lake build``: nothing if nothing changed, else ``dbt build`` with a bar and a short account."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.here import as_typed
from lakehouse.cli.output import WIDTH, bytes_text, examples, seconds_text
from lakehouse.errors import LakeError
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from lakehouse.dbt.build import BuildReport
    from lakehouse.dbt.results import RunResults

_INVOKED_BY = "lake build"
_FULL = 100_000_000
"""Bytes; with less free a build of the smallest warehouse fails."""
_SHOWN_RED = 10
_LABEL_WIDTH = 11


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "lake build", "lake build --force", "lake build -s fct_sales+", "lake build --verbose"
        ),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(build)


def build(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Build and test everything, changed or not.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show dbt's own output instead of a summary.")
    ] = False,
) -> None:
    """Build, test and, if all is green, publish.

    Does nothing when neither raw nor the project has changed since a green build.
    When only sources have new commits, what is not made from them is left out; so
    are unit tests that were green with this very code. Any other option goes to
    `dbt build` as it is; then everything it selects runs.
    """
    from lakehouse.dbt.build import only_what_changed
    from lakehouse.dbt.green import nothing_to_build

    settings, arguments = load_settings(), context.args
    is_told_what = force or bool(arguments)
    if not is_told_what and (sentence := nothing_to_build(settings)):
        typer.echo(f"{sentence[0].upper()}{sentence[1:]}.")
        typer.echo("Neither raw nor the project has changed; --force builds all the same.")
        return
    run = partial(_stream if verbose else _summarize, settings)
    code = run(arguments) if is_told_what else only_what_changed(settings, run)
    _refuse_full_disk(settings, code)
    raise typer.Exit(code)


def _stream(settings: Settings, arguments: Sequence[str]) -> int:
    from lakehouse.dbt.run import run_dbt

    return run_dbt(settings, ["build", *arguments], invoked_by=_INVOKED_BY)


def _summarize(settings: Settings, arguments: Sequence[str]) -> int:
    from lakehouse.dbt.build import build as build_and_tell

    _say("Building ...")
    report = build_and_tell(settings, arguments, invoked_by=_INVOKED_BY, say=_say)
    _print(settings, report)
    return report.exit_code


def _say(sentence: str) -> None:
    """Show a sentence at once, into a pipe as well: what follows may take long."""
    typer.echo(sentence)
    sys.stdout.flush()


def _print(settings: Settings, report: "BuildReport") -> None:
    from lakehouse.dbt.failures import kept_failures

    results = report.results
    if results is None or not results.nodes:
        words = report.last_words or "dbt ended without a word"
        _line("Failed" if report.exit_code else "dbt said", words)
    else:
        _line("Built", _built(results, report))
        for line in _red(results):
            _line("Red", line)
        for node in results.warned[:_SHOWN_RED]:
            _line("Warning", f"{node.name}: {node.explanation}")
    if kept := kept_failures(settings):
        _line("Rows", f"`lake failures {kept[0].rows.test}` shows what it found")
    for sentence in report.said[-1:]:
        _line("Result", sentence)
    if report.exit_code:
        _line("Log", str(report.log).removeprefix(f"{settings.root}/"))


def _built(results: "RunResults", report: "BuildReport") -> str:
    unproven = ", unit tests unchanged" if report.left_out_unit_tests else ""
    tables = sum(node.is_table and node.is_green for node in results.nodes)
    tests = sum(node.is_test for node in results.nodes)
    return (
        f"{tables:,} tables, {results.tests_passed:,} of {tests:,} tests passed{unproven}, "
        f"{seconds_text(results.seconds)}"
    )


def _red(results: "RunResults") -> list[str]:
    causes = [node for node in results.red if not node.is_skipped]
    lines = [f"{node.name}: {node.explanation}" for node in causes[:_SHOWN_RED]]
    if more := len(causes) - _SHOWN_RED:
        lines += [f"and {more} more"] if more > 0 else []
    if skipped := len(results.red) - len(causes):
        lines.append(f"{skipped} skipped because of them")
    return lines


def _line(label: str, text: str) -> None:
    lines = textwrap.wrap(
        as_typed(text),
        shutil.get_terminal_size((WIDTH, 0)).columns - _LABEL_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for number, line in enumerate(lines or [""]):
        typer.echo(f"{'' if number else label:<{_LABEL_WIDTH}}{line}")


def _refuse_full_disk(settings: Settings, code: int) -> None:
    free = shutil.disk_usage(settings.root).free
    if code and free < _FULL:
        # dbt says so itself, but as a stack of Python calls.
        raise LakeError(
            f"the build failed, and the disk of {settings.root} is full: {bytes_text(free)} are "
            "free; readers keep the version they have",
            "free space (`lake clean` lists what can be made again), then run `lake build` again",
        )
