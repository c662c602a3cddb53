"""``lake raw``: proving, compacting and setting aside what has landed."""

from collections.abc import Sequence
from datetime import timedelta
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.output import WIDTH, bytes_text, examples, make_console, print_json, print_table
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings

if TYPE_CHECKING:
    from lakehouse.raw.compact import Account
    from lakehouse.raw.verify import Verified

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    raw = typer.Typer(help="Look after the raw layer's commits.", no_args_is_help=True)
    raw.command(epilog=examples("lake raw verify", "lake raw verify --json"))(verify)
    raw.command(
        epilog=examples(
            "lake raw compact --dry-run",
            "lake raw compact",
            "lake raw compact stream",
            "lake raw compact shop.transactions --grace 72",
        )
    )(compact)
    raw.command(
        name="set-aside",
        epilog=examples("lake raw set-aside 20261120T190313123456Z-3fa9c1", "lake extract"),
    )(set_aside)
    app.add_typer(raw, name="raw")


def verify(as_json: _AsJson = False) -> None:
    """Re-read every raw commit against its checksums and its footer.

    Also notices a commit that has gone from between others. Safe while extractors,
    builds and compactions run.
    """
    from lakehouse.raw.verify import verify as verify_all

    results = list(verify_all(load_settings().raw_dir))
    bad = [result for result in results if result.problem]
    if as_json:
        print_json(
            [
                {"path": r.path, "rows": r.rows, "problem": str(r.problem) if r.problem else None}
                for r in results
            ]
        )
    else:
        _show_verified(results)
    if bad:
        raise _verdict(results)


def compact(
    table: Annotated[
        str | None, typer.Argument(metavar="[SOURCE[.TABLE]]", help="What to compact; else all.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")
    ] = False,
    grace: Annotated[
        int,
        typer.Option(min=1, metavar="HOURS", help="How long files that were replaced stay."),
    ] = 24,
    as_json: _AsJson = False,
) -> None:
    """Make few large raw files of many small ones.

    Every commit stays what it was. The small files of a day that is over become one;
    today's as soon as there are many of one size. Files that were replaced go with a
    later run, when their grace period is over and no build is running.
    Safe to stop, to repeat, and to run beside everything else.
    """
    from lakehouse.locks import current_holder
    from lakehouse.raw import raw_tables
    from lakehouse.raw.compact import compact as compact_table
    from lakehouse.raw.compact import tables_named

    settings = load_settings()
    accounts: list[Account] = []
    errors: list[LakeError] = []
    for each in tables_named(raw_tables(settings.raw_dir), table):
        try:
            account = compact_table(
                each,
                grace=timedelta(hours=grace),
                may_remove=current_holder(settings.build_lock) is None,
                dry_run=dry_run,
            )
        except LakeError as error:
            errors.append(error)  # the other tables go on
            continue
        accounts.append(account)
        errors += account.problems
    if as_json:
        print_json([_as_dict(account) for account in accounts])
    else:
        _show_accounts(accounts, dry_run=dry_run)
    for other in errors[1:]:
        typer.echo(f"Error: {other}", err=True)
    if errors:
        raise errors[0]


def set_aside(
    name: Annotated[
        str, typer.Argument(metavar="BATCH", help="The commit's batch id, its file's name.")
    ],
) -> None:
    """Hide a damaged raw file from all readers and keep its bytes.

    The next `lake extract` reads its rows again from the source.
    """
    from lakehouse.raw import verify as raw_verify

    raw_dir = load_settings().raw_dir
    typer.echo(f"Set aside as {raw_verify.set_aside(raw_dir, name)}")
    if instead := raw_verify.still_holds(raw_dir, name):
        typer.echo(f"Readers have the commit from {instead.name}; nothing is missing.")
    else:
        typer.echo("Next: lake extract, then lake build")


def _show_verified(results: "Sequence[Verified]") -> None:
    bad = [result for result in results if result.problem]
    for result in bad:
        source, table, _, name = result.path.parts[-4:]
        typer.echo(f"{name.removesuffix('.parquet')}  {source}.{table}")
        cause = result.problem.cause if result.problem else ""
        typer.echo(fill(cause, WIDTH, initial_indent="    ", subsequent_indent="    "))
    commits, rows = sum(r.commits for r in results), sum(r.rows for r in results)
    lost = sum(_is_lost(result) for result in bad)
    gone = f", {lost} gone" if lost else ""
    files = len(results) - lost
    inside = f" in {files:,} files" if files != commits else ""
    typer.echo(f"{commits:,} commits{inside}, {rows:,} rows, {len(bad) - lost} damaged{gone}")


def _verdict(results: "Sequence[Verified]") -> LakeError:
    bad = [result for result in results if result.problem]
    files = sum(not _is_lost(result) for result in results)
    damaged = [result for result in bad if not _is_lost(result)]
    if not damaged and (first := bad[0].problem):
        more = f"; and {len(bad) - 1} more" if len(bad) > 1 else ""
        return LakeError(f"{first.cause}{more}", first.next_step)
    return LakeError(
        f"{len(damaged)} of {files} raw files are damaged",
        "run `lake raw set-aside BATCH` for each, then `lake extract` and `lake build`",
    )


def _is_lost(result: "Verified") -> bool:
    from lakehouse.raw.errors import LostCommitError

    return isinstance(result.problem, LostCommitError)


def _show_accounts(accounts: "Sequence[Account]", *, dry_run: bool) -> None:
    done = [account for account in accounts if not account.is_idle or account.waiting]
    if done:
        heads = ["files", "become", "commits", "removed", "waiting"]
        print_table(
            make_console(),
            {"source table": "left", **dict.fromkeys(heads, "right")},
            [(a.table, a.replaced, a.made, a.commits, a.removed, a.waiting) for a in done],
        )
    typer.echo(_summary(accounts, dry_run=dry_run))


def _summary(accounts: "Sequence[Account]", *, dry_run: bool) -> str:
    """One line: what became of how many files."""
    replaced, made = sum(a.replaced for a in accounts), sum(a.made for a in accounts)
    removed, waiting = sum(a.removed for a in accounts), sum(a.waiting for a in accounts)
    before, after = sum(a.replaced_bytes for a in accounts), sum(a.made_bytes for a in accounts)
    size = f" ({bytes_text(before)}{'' if dry_run else f' to {bytes_text(after)}'})"
    would = "would become" if dry_run else "became"
    parts = [f"{replaced:,} small files {would} {made:,}{size}"] if replaced else []
    if removed:
        freed = bytes_text(sum(a.removed_bytes for a in accounts))
        verb = "would be" if dry_run else "were"
        parts.append(f"{removed:,} replaced files {verb} removed ({freed})")
    if waiting:
        parts.append(f"{waiting:,} replaced files stay until their grace period is over")
    return "; ".join(parts or ["nothing to compact"])


def _as_dict(account: "Account") -> dict[str, object]:
    fields = {name: getattr(account, name) for name in account.__slots__}
    return {**fields, "problems": [str(problem) for problem in account.problems]}
