"""``lake source``: a database taken in without writing a file by hand.

Here belongs the talk with a person: arguments, questions, tables of 80 columns. Here does not
belong what follows from a catalogue.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest.sources import (
    SourcesError,
    SourceSpec,
    TableSpec,
    as_identifier,
    check_source_name,
    check_variable,
    read_sources,
    select_tables,
)
from lakehouse.cli.output import WIDTH, examples, make_console, print_json, print_table
from lakehouse.errors import LakeError
from lakehouse.settings import Settings, load_settings
from lakehouse.source import (
    DEFAULT_VARIABLE,
    configured_dsn,
    source_absence,
    source_dsn,
    source_name,
)

if TYPE_CHECKING:
    from ingest.onboarding.extractor import Extractor
    from ingest.onboarding.propose import Answers, Proposal

_SHOWN = 12
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    source = typer.Typer(help="Take databases in: list, look, scaffold.", no_args_is_help=True)
    source.command(
        epilog=examples(
            "lake source add erp --dsn postgresql://reader:PASSWORD@db.example/erp --save",
            "lake source add erp --table sales.orders --cursor orders=changed_at",
        )
    )(add)
    source.command(
        name="scaffold",
        epilog=examples("lake source scaffold erp", "lake source scaffold erp --table orders"),
    )(scaffold_)
    source.command(name="list", epilog=examples("lake source list"))(list_)
    source.command(epilog=examples("lake source show erp"))(show)
    source.command(epilog=examples("lake source check", "lake source check erp"))(check)
    app.add_typer(source, name="source")


def add(
    name: _Name,
    dsn: Annotated[
        str | None,
        typer.Option(metavar="DSN", help="Address of the database; else the variable's, or asked."),
    ] = None,
    dsn_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="Variable for the address; else LAKE_SOURCE_<NAME>_DSN."),
    ] = None,
    schema: Annotated[
        list[str] | None, typer.Option(help="Only tables of this schema; can be repeated.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(help="Only this table or view, also schema.table; can be repeated."),
    ] = None,
    cursor: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=COLUMN", help="The column that tells changes."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=COLUMN,...", help="The columns that identify a row."),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write the address to .env, for its owner only.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Look at a database and add its tables to ingest/sources.yml.

    What is there stays as it is; run again, it adds what is new. Only reads at
    the source. Give the address in the environment or at the prompt, rather
    than as --dsn, to keep it out of the shell's history.
    """
    from ingest.onboarding.address import save_dsn
    from ingest.onboarding.listing import add_tables
    from ingest.onboarding.propose import survey

    settings = load_settings()
    known = _known(settings, check_source_name(name), dsn_env)
    given = _address(settings, known, dsn)
    answers = _answers(cursor, key)
    with _opened(settings, known, given) as extractor:
        found = survey(extractor, known, schema or (), table or (), answers)
        if not as_json and sys.stdin.isatty() and (asked := _ask(found.proposals)):
            more = replace(answers, cursors={**answers.cursors, **asked})
            found = survey(extractor, known, schema or (), table or (), more)
    specs = [proposal.spec for proposal in found.proposals if proposal.spec is not None]
    if specs and not dry_run:
        add_tables(settings, name, specs)
    if save and given is not None and not dry_run:
        save_dsn(settings, known.dsn_env, given)
    if as_json:
        print_json([_as_dict(proposal) for proposal in found.proposals])
        return
    _show_proposals(found.proposals)
    if found.listed:
        typer.echo(f"{_tables(found.listed)} of {name} listed before: left as written.")
    if found.left_out:
        left = ", ".join(found.left_out)
        _say(f"Views and foreign tables are taken by name, with --table: {left}")
    _close(settings, known, specs, dry_run=dry_run)


def scaffold_(
    name: _Name,
    table: Annotated[
        list[str] | None, typer.Option(help="Only this listed table; can be repeated.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what differs, a person's changes included.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written.")
    ] = False,
) -> None:
    """Write the dbt source, models and tests of the listed tables.

    They are yours to change: run again, it adds what is missing and leaves what
    is there. Staging, quarantine and accounting are in the next `lake build`.
    """
    from ingest.onboarding.scaffold import read_tables, scaffold, staging_file

    settings = load_settings()
    source = _find(settings, name)
    chosen = select_tables(source.tables, table)
    with _opened(settings, source, None) as extractor:
        tables = read_tables(
            extractor, source, chosen, lambda spec: staging_file(settings, spec).exists()
        )
    written = scaffold(settings, name, tables, force=force, dry_run=dry_run)
    for outcome in ("new", "added", "replaced", "differs"):
        for one in written:
            if one.outcome == outcome:
                item = f": {one.item}" if one.item else ""
                typer.echo(f"{outcome:<9} {one.path}{item}")
    same = sum(one.outcome == "as it is" for one in written)
    if same:
        typer.echo(f"{same} more are as they would be written.")
    if any(one.outcome == "differs" for one in written):
        _say(
            "What differs was left as it is: somebody changed it, or the table changed. --force"
            " replaces it."
        )
    if dry_run:
        typer.echo("Nothing was written.")
    else:
        typer.echo(f"Next: lake extract {name}, lake build")


def list_(as_json: _AsJson = False) -> None:
    """Show the sources, and whether their addresses are known."""
    settings = load_settings()
    sources = read_sources(settings)
    rows = [
        (one.name, len(one.tables), one.dsn_env, _address_text(settings, one)) for one in sources
    ]
    if as_json:
        names = ("source", "tables", "dsn_env", "address")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    columns = {"source": "left", "tables": "right", "variable": "left", "address": "left"}
    print_table(make_console(), columns, rows)


def show(name: _Name, as_json: _AsJson = False) -> None:
    """Show how each table of a source is extracted."""
    source = _find(load_settings(), name)
    if as_json:
        print_json(source)
        return
    rows = [
        (
            spec.name,
            spec.origin,
            ", ".join(spec.primary_key) or "as in the database",
            spec.cursor,
            spec.lookback.text if spec.cursor else None,
        )
        for spec in source.tables
    ]
    columns = ("table", "in PostgreSQL", "key", "cursor", "lookback")
    print_table(make_console(), dict.fromkeys(columns, "left"), rows)


def check(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A source; else all.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Check every listed table as an extraction would.

    Says how sure it is that nothing is missed, or why a table cannot be read.
    """
    settings = load_settings()
    sources = [_find(settings, name)] if name else list(read_sources(settings))
    found = [line for source in sources for line in _check(settings, source)]
    bad = [line for line in found if line["problem"]]
    if as_json:
        print_json(found)
    else:
        rows = [(line["table"], line["guarantee"] or "cannot be extracted") for line in found]
        print_table(make_console(), {"table": "left", "guarantee": "left"}, rows)
        for problem, tables in _by_sentence([(b["table"], b["problem"]) for b in bad]).items():
            _say(f"{_some(tables)}: {problem}", err=True)
    if bad:
        raise LakeError(
            f"{len(bad)} of {len(found)} tables cannot be extracted",
            "do what is said above, then run `lake source check` again",
        )


def _known(settings: Settings, name: str, dsn_env: str | None) -> SourceSpec:
    """The source as it is listed, or a new one."""
    from ingest.onboarding.address import default_variable

    for source in read_sources(settings):
        if source.name != name:
            continue
        if dsn_env not in (None, source.dsn_env):
            raise SourcesError(
                f"source {name} already takes its address from {source.dsn_env}",
                "leave --dsn-env away, or change `dsn_env` in ingest/sources.yml",
            )
        return source
    variable = default_variable(name) if dsn_env is None else check_variable(dsn_env)
    return SourceSpec(name=name, dsn_env=variable, schema=None, tables=())


def _address(settings: Settings, source: SourceSpec, argument: str | None) -> str | None:
    """An address that was given now; None if the one that is set shall be taken."""
    from ingest.onboarding.address import given_dsn

    if (given := given_dsn(argument)) is not None:
        return given
    if configured_dsn(settings, source.dsn_env) is not None or source.tables:
        return None
    if sys.stdin.isatty():
        asked: str = typer.prompt(f"Address of {source.name} (not shown)", hide_input=True)
        return asked
    raise LakeError(
        f"no address of {source.name} is known: {source.dsn_env} is not set",
        f"set {source.dsn_env} to it, or say --dsn postgresql://user:password@host:5432/database",
    )


def _answers(cursor: Sequence[str] | None, key: Sequence[str] | None) -> "Answers":
    from ingest.onboarding.propose import Answers

    cursors = dict(_pair("--cursor", one) for one in cursor or ())
    pairs = [_pair("--key", one) for one in key or ()]
    keys = {table: tuple(columns.split(",")) for table, columns in pairs}
    return Answers(cursors=cursors, keys=keys)


def _pair(option: str, text: str) -> tuple[str, str]:
    table, separator, column = text.rpartition("=")
    if not (table and separator and column):
        raise LakeError(
            f"{option} {text!r} names no table and column", f"say {option} TABLE=COLUMN"
        )
    return table, column


@contextmanager
def _opened(settings: Settings, source: SourceSpec, given: str | None) -> "Iterator[Extractor]":
    from ingest.onboarding.extractor import Extractor
    from ingest.postgres.connection import Connection

    if given is not None:
        with Connection(given) as connection:
            yield Extractor(connection)
        return
    with source_dsn(settings, source.dsn_env) as dsn, Connection(dsn) as connection:
        yield Extractor(connection)


def _ask(proposals: "Sequence[Proposal]") -> dict[str, str]:
    """Ask for the cursors that are not clear; what is left empty stays open."""
    answers = {}
    for proposal in proposals:
        if not proposal.candidates:
            continue
        columns = ", ".join(proposal.candidates)
        question = (
            f"Which column of {proposal.relation.origin} grows with every change ({columns})?"
        )
        said = typer.prompt(question, default="", show_default=False)
        if said.strip():
            answers[proposal.relation.origin] = said.strip()
    return answers


def _show_proposals(proposals: "Sequence[Proposal]") -> None:
    if not proposals:
        typer.echo("There is no table that is not listed already.")
        return
    rows = [
        (
            one.name,
            one.relation.rows,
            as_identifier(one.spec.cursor) if one.spec and one.spec.cursor else None,
            one.guarantee.split(":")[0] if one.guarantee else "not taken",
        )
        for one in proposals
    ]
    columns = {"table": "left", "rows (about)": "right", "cursor": "left", "guarantee": "left"}
    print_table(make_console(), columns, rows)
    _show_grouped("Not taken", [(one, one.reason) for one in proposals if one.reason])
    notes = [(one, note) for one in proposals for note in (*_doubt(one.guarantee), *one.notes)]
    _show_grouped("Good to know", notes)
    typer.echo()


def _show_grouped(heading: str, said: "Sequence[tuple[Proposal, str]]") -> None:
    """Each sentence once, with the tables that it is about."""
    named = {
        one.name: one.name
        if one.relation.name == one.name
        else f"{one.name} ({one.relation.origin})"
        for one, _ in said
    }
    tables = _by_sentence([(named[one.name], sentence) for one, sentence in said])
    if tables:
        typer.echo(f"\n{heading}")
    for sentence, names in tables.items():
        _say(f"{_some(names)}: {sentence}", mark="- ")


def _by_sentence(said: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Each sentence once, with the tables that it is about."""
    found: dict[str, list[str]] = {}
    for table, sentence in said:
        found.setdefault(sentence, []).append(table)
    return found


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _tables(count: int) -> str:
    return f"{count:,} table{'' if count == 1 else 's'}"


def _doubt(guarantee: str | None) -> list[str]:
    return [guarantee] if guarantee and guarantee.startswith("lookback") else []


def _close(
    settings: Settings, source: SourceSpec, specs: Sequence[TableSpec], *, dry_run: bool
) -> None:
    if dry_run:
        typer.echo(f"{_tables(len(specs))} would be added; nothing was written.")
        return
    if specs:
        typer.echo(f"{_tables(len(specs))} added to ingest/sources.yml.")
    if not specs and not source.tables:
        return
    next_steps = [
        f"lake extract {source.name}",
        f"lake source scaffold {source.name}",
        "lake build",
    ]
    if _address_text(settings, source) == "not set":
        typer.echo(
            f"Next: put the address into .env (or say --save), as\n  {source.dsn_env}=postgresql://..."
        )
        typer.echo(f"then: {', '.join(next_steps)}")
    elif specs:
        typer.echo(f"Next: {', '.join(next_steps)}")


def _check(settings: Settings, source: SourceSpec) -> list[dict[str, Any]]:
    """Each table of a source: its guarantee, or what is in its way."""
    found: list[dict[str, Any]] = []

    def note(
        spec: TableSpec, sure: str | None = None, problem: LakeError | str | None = None
    ) -> None:
        said = None if problem is None else str(problem)
        found.append({"table": spec.label, "guarantee": sure, "problem": said})

    if absence := source_absence(settings, source.dsn_env):
        for spec in source.tables:
            note(spec, problem=absence)
        return found
    try:
        with _opened(settings, source, None) as extractor:
            for spec in source.tables:
                try:
                    note(spec, extractor.judge(spec).guarantee)
                except LakeError as error:
                    note(spec, problem=error)
    except LakeError as error:
        for spec in source.tables[len(found) :]:
            note(spec, problem=error)
    return found


def _find(settings: Settings, name: str) -> SourceSpec:
    sources = {source.name: source for source in read_sources(settings)}
    if name not in sources:
        raise SourcesError(
            f"there is no source {name} in ingest/sources.yml",
            f"choose from {', '.join(sources)}, or run `lake source add {name}`",
        )
    return sources[name]


def _address_text(settings: Settings, source: SourceSpec) -> str:
    if configured_dsn(settings, source.dsn_env) is not None:
        return "set"
    return "not set" if source.dsn_env != DEFAULT_VARIABLE else source_name(settings)


def _as_dict(proposal: "Proposal") -> dict[str, Any]:
    spec = proposal.spec
    return {
        "table": proposal.name,
        "origin": proposal.relation.origin,
        "rows": proposal.relation.rows,
        "primary_key": list(spec.primary_key) if spec else None,
        "cursor": spec.cursor if spec else None,
        "guarantee": proposal.guarantee,
        "not_taken": proposal.reason,
        "notes": list(proposal.notes),
    }


def _say(sentence: str, *, mark: str = "", err: bool = False) -> None:
    """A sentence in lines of at most 80 columns."""
    indent = " " * len(mark)
    text = fill(
        sentence, WIDTH, initial_indent=mark, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    typer.echo(text, err=err)
