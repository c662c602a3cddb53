"""Which column grows whenever a row is inserted or updated: found by name and type, or asked for.

A wrong cursor loses updates without a word, so only a column whose whole name says "changed at" is
taken, and only if no other one says it, too. Who sets it decides how far it can be trusted.

Here belongs the choice, a function of the catalogue. Here does not belong reading it.
"""

import re
from dataclasses import dataclass

from ingest.onboarding.inspect import CatalogColumn
from ingest.onboarding.names import plain

_NEUTRAL = (
    "last|latest|at|on|ts|time|timestamp|tstamp|stamp|date|datetime|dt|utc|row|rec|record|sys|system|db"
    "|zeit|zeitpunkt|datum|am|letzte|zuletzt|is|was"
)
_CHANGE = (
    "updated|update|upd|modified|modification|modify|mod|changed|change|touched|geaendert|aenderung"
    "|aenderungs|aktualisiert|aktualisierung"
)
_CREATE = "created|create|creation|inserted|insert|added|logged|occurred|received|erstellt|angelegt"
_JOINED = rf"(?:(?:{_NEUTRAL})_?)*"
_SAYS_CHANGED = re.compile(rf"{_JOINED}(?:{_CHANGE})_?{_JOINED}|mtime")
_SAYS_CREATED = re.compile(rf"{_JOINED}(?:{_CREATE})_?{_JOINED}|ctime")
_INSTANT = re.compile(r"timestamp(\(\d\))? with(out)? time zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorChoice:
    """What the catalogue says about a table's cursor.

    Attributes:
        name: The column; None if none says that it is one, or several do.
        candidates: Columns that may be one, when it is not clear: somebody must say which.
        created: A column that says when the row was made: enough where rows never change.
    """

    name: str | None
    candidates: tuple[str, ...] = ()
    created: str | None = None


def choose_cursor(table: str, columns: tuple[CatalogColumn, ...]) -> CursorChoice:
    """Find the cursor.

    Args:
        table: The table's name: its words may stand in the column's.
        columns: Its columns.
    """
    own = {*plain(table, "t").split("_"), *plain(table, "t").rstrip("s").split("_")}
    changed = [column for column in columns if _says(_SAYS_CHANGED, column.name, own)]
    instants = [column for column in changed if _INSTANT.fullmatch(column.pg_type)]
    dates = [column for column in changed if column.pg_type == "date"]
    created = next(
        (
            column.name
            for column in columns
            if _says(_SAYS_CREATED, column.name, own) and _INSTANT.fullmatch(column.pg_type)
        ),
        None,
    )
    # Of several the one that a trigger keeps is sure; an index alone only says what is asked for.
    kept = [column for column in instants if column.named_by]
    for chosen in (instants, kept):
        if len(chosen) == 1:
            return CursorChoice(name=chosen[0].name, created=created)
    unclear = instants or dates
    return CursorChoice(name=None, candidates=tuple(c.name for c in unclear), created=created)


def _says(pattern: re.Pattern[str], name: str, own: set[str]) -> bool:
    """Whether a name says this and nothing else, the table's own words left out."""
    words = [word for word in plain(name, "c").split("_") if word not in own]
    return bool(pattern.fullmatch("_".join(words)))
