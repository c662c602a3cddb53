"""How each relation of a database would be extracted, and what that promises.

Here belongs the entry for ``ingest/sources.yml`` and the sentences about it. Whether an entry can
be extracted, and how exactly, says the extractor itself. Here does not belong writing files.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ingest.onboarding.cursor import CursorChoice, choose_cursor
from ingest.onboarding.extractor import Extractor
from ingest.onboarding.inspect import KINDS, CatalogColumn, Relation, read_relations
from ingest.onboarding.names import plain, unique
from ingest.postgres.catalog import SourceTable
from ingest.postgres.report import SourceError
from ingest.sources import SourceSpec, TableSpec, as_identifier, parse_lookback
from lakehouse.errors import LakeError

_T = TypeVar("_T")
_TIMES = ("date", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a person said about tables, by the table's name.

    Attributes:
        cursors: The column that is the cursor.
        keys: The columns that identify a row.
    """

    cursors: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What becomes of one relation.

    Attributes:
        relation: What the catalogue says.
        name: Its plain name.
        spec: How it would be extracted; None if it would not.
        guarantee: How sure it is that nothing is missed: ``exact``, ``full``, or the lookback and
            why it is needed; None if it would not be extracted.
        reason: Why it would not be extracted, with what would change that; None if it would.
        notes: What a person should know, a sentence each.
        candidates: Columns of which a person may say that one is the cursor.
    """

    relation: Relation
    name: str
    spec: TableSpec | None = None
    guarantee: str | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a look at a database found.

    Attributes:
        proposals: One for each relation that is asked for and not listed.
        listed: How many of those asked for are listed already.
        left_out: Views and the like, which nobody named.
    """

    proposals: tuple[Proposal, ...]
    listed: int
    left_out: tuple[str, ...]


def survey(
    extractor: Extractor,
    source: SourceSpec,
    schemas: Collection[str],
    tables: Collection[str],
    answers: Answers,
) -> Survey:
    """Look at a database and propose how its tables are extracted.

    Args:
        extractor: Connected to the database.
        source: What is listed of it.
        schemas: Only these; else all but PostgreSQL's own.
        tables: Only these tables and views; else all tables.
        answers: What a person said about some.

    Raises:
        LakeError: A table or schema is not there, or the database cannot be read.
    """
    relations = read_relations(extractor.connection, schemas)
    if missing := set(schemas) - {relation.schema for relation in relations}:
        raise LakeError(
            f"the database has no table in schema {', '.join(sorted(missing))}",
            "say --schema with another one, or leave it away",
        )
    chosen, left_out = choose_relations(relations, tables)
    listed = {(spec.schema, spec.relation) for spec in source.tables}
    names = table_names(chosen, {(t.schema, t.relation): t.name for t in source.tables})
    proposals = [
        _checked(extractor, _propose(relation, name, source, answers))
        for relation, name in zip(chosen, names, strict=True)
        if (relation.schema, relation.name) not in listed
    ]
    if strange := {*answers.cursors, *answers.keys} - {
        name for one in proposals for name in (*_names(one.relation), one.name)
    }:
        raise LakeError(
            f"no table {', '.join(sorted(strange))} is being added",
            f"choose from {', '.join(one.name for one in proposals) or 'none: all are listed'}",
        )
    return Survey(
        proposals=tuple(proposals),
        listed=len(chosen) - len(proposals),
        left_out=tuple(relation.origin for relation in left_out),
    )


def choose_relations(
    relations: Sequence[Relation], tables: Collection[str]
) -> tuple[list[Relation], list[Relation]]:
    """Which relations are asked for: those named, or else all tables of the application.

    Args:
        relations: All that there are.
        tables: ``table`` or ``schema.table``, as in PostgreSQL, quoted or not.

    Returns:
        The chosen ones; and the views and the like that are left out unless named.

    Raises:
        LakeError: A name is not there.
    """
    if not tables:
        own = [relation for relation in relations if not relation.of_extension]
        return (
            [relation for relation in own if relation.is_table],
            [relation for relation in own if not relation.is_table],
        )
    known = {name for relation in relations for name in _names(relation)}
    if unknown := [name for name in tables if name not in known]:
        there = ", ".join(relation.origin for relation in relations[:8]) or "no table at all"
        raise LakeError(
            f"the database has no table {', '.join(unknown)} that this role can see",
            f"choose from {there}{' and others' if len(relations) > 8 else ''}",
        )
    return [relation for relation in relations if _names(relation) & set(tables)], []


def table_names(relations: Sequence[Relation], listed: Mapping[tuple[str, str], str]) -> list[str]:
    """A plain name for each relation, the same whichever of them are listed already.

    Where two schemas have the same name, the schema's goes before it; names that are plain already
    stay.

    Args:
        relations: The relations.
        listed: Schema and name to the plain name of tables that have one.
    """
    wanted = [plain(r.name, f"table_{n}") for n, r in enumerate(relations, start=1)]
    places = {(r.schema, r.name) for r in relations} | set(listed)
    schemas: dict[str, set[str]] = {}
    for schema, name in places:
        schemas.setdefault(plain(name, "table"), set()).add(schema)
    wanted = [
        f"{plain(r.schema, 'schema')}_{name}" if len(schemas.get(name, ())) > 1 else name
        for r, name in zip(relations, wanted, strict=True)
    ]
    taken = set(listed.values())
    chosen: dict[int, str] = {}
    for number in sorted(range(len(wanted)), key=lambda n: (wanted[n] != relations[n].name, n)):
        relation = relations[number]
        known = listed.get((relation.schema, relation.name))
        chosen[number] = known or unique(wanted[number], taken)
        taken.add(chosen[number])
    return [chosen[number] for number in range(len(wanted))]


def _propose(relation: Relation, name: str, source: SourceSpec, answers: Answers) -> Proposal:
    """What follows from the catalogue and the answers alone."""
    if reason := _obstacle(relation):
        return Proposal(relation=relation, name=name, reason=reason)
    key = _answer(answers.keys, relation, name) or relation.primary_key or _shortest(relation)
    choice = choose_cursor(relation.name, relation.columns)
    said = _answer(answers.cursors, relation, name)
    # Without a key rows are told apart by all that they say, for which all have to be read.
    cursor = (said or choice.name) if key else None
    column = next((c for c in relation.columns if c.name == cursor), None)
    spec = TableSpec(
        source=source.name,
        dsn_env=source.dsn_env,
        schema=relation.schema,
        name=name,
        table=relation.name if relation.name != name else None,
        primary_key=key,
        cursor=cursor,
        lookback=parse_lookback(_lookback(column)),
        clock="database" if column and column.stamped else None,
    )
    return Proposal(
        relation=relation,
        name=name,
        spec=spec,
        notes=tuple(_advice(name, key, cursor, choice, said)),
        candidates=choice.candidates if key and not cursor else (),
    )


def _advice(
    name: str, key: tuple[str, ...], cursor: str | None, choice: CursorChoice, said: str | None
) -> Iterable[str]:
    """What a person can say that the catalogue does not."""
    if not key:
        yield (
            "no key: every run reads all rows and tells them apart by all that they say; add a"
            " primary key at the source, or say --key TABLE=COLUMN for one that is unique"
        )
    elif said and said != choice.name:
        yield "the cursor is the one that you say: a row that changes without it is missed"
    elif choice.candidates and not cursor:
        columns = " or ".join(map(as_identifier, choice.candidates))
        yield (
            f"every run reads all rows, as it is not clear whether {columns} tells changes; if one"
            f" does, say --cursor {name}=..."
        )
    elif choice.created and not cursor:
        yield (
            "every run reads all rows, as no column tells changes; add updated_at with a trigger at"
            f" the source, or, if rows never change, say --cursor {name}={choice.created}"
        )
    elif not cursor:
        yield (
            "every run reads all rows, as no column tells changes; to read only what is new, add"
            " updated_at with a trigger at the source"
        )


def _checked(extractor: Extractor, proposal: Proposal) -> Proposal:
    """The proposal with what the extractor says about it."""
    relation, spec = proposal.relation, proposal.spec
    if spec is None:
        return proposal
    try:
        found = extractor.judge(spec)
    except SourceError as error:
        return Proposal(relation=relation, name=proposal.name, reason=str(error).rstrip("."))
    notes = (*_notes(relation, spec, found.table), *proposal.notes)
    return replace(proposal, guarantee=found.guarantee, notes=notes)


def _obstacle(relation: Relation) -> str | None:
    """Why nothing can be proposed, with what a person can do about it."""
    if not relation.readable:
        return f"this role may not read it: grant select on {relation.origin}"
    if relation.filtered:
        return (
            "row-level security hides rows of it from this role: read as its owner, or as a role"
            " with bypassrls"
        )
    return None


def _notes(relation: Relation, spec: TableSpec, table: SourceTable) -> Iterable[str]:
    if not relation.is_table and spec.primary_key:
        yield f"a {KINDS[relation.kind]}: nothing in the database keeps its key unique"
    elif spec.primary_key != relation.primary_key:
        yield "no primary key: the shortest key that is unique and never NULL is taken"
    if table.cursor is None:
        return
    if not table.cursor_indexed:
        yield "no index begins with the cursor: every run reads the whole table"
    if table.cursor.nullable:
        yield "the cursor may be NULL: such rows are read at every run"


def _lookback(column: CatalogColumn | None) -> str:
    if column is not None and not column.pg_type.startswith(_TIMES):
        # Of a sequence: so many rows can be written and not yet committed.
        return "10000"
    return "1h"


def _shortest(relation: Relation) -> tuple[str, ...]:
    return min(relation.unique_keys, key=lambda key: (len(key), key), default=())


def _answer(answers: Mapping[str, _T], relation: Relation, name: str) -> _T | None:
    found = [answers[key] for key in (*_names(relation), name) if key in answers]
    return found[0] if found else None


def _names(relation: Relation) -> set[str]:
    return {relation.name, f"{relation.schema}.{relation.name}", relation.origin}
