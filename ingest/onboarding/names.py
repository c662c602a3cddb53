"""Plain names for whatever PostgreSQL allows: a-z, 0-9 and _, no keyword, no two alike.

Here belongs turning the names of a database into those of folders, dbt models and their columns.
Here does not belong where the original names are kept: ``table`` in ``ingest/sources.yml`` and
``raw_name`` in the dbt source.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import cache

# What base and staging models add to a table's own columns (macros/raw, macros/history).
TAKEN_COLUMNS = frozenset({
    "broken_rules", "deleted_at", "first_seen_at", "has_version", "is_deleted", "last_seen_at",
    "last_version", "next_extracted_at", "next_op", "place", "rule_version",
})  # fmt: skip
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "đ": "d", "ł": "l", "þ": "th"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def plain(name: str, fallback: str) -> str:
    """A name in plain letters: ``Größe (cm)`` becomes ``groesse_cm``, ``orderLine`` ``order_line``.

    Args:
        name: Any text.
        fallback: What stands for a name that has no Latin letter or digit; a plain name itself.
    """
    spaced = _WORDS.sub("_", unicodedata.normalize("NFC", name))
    letters = spaced.lower().translate(_UMLAUTS).translate(_LETTERS)
    bare = unicodedata.normalize("NFKD", letters)
    words = re.findall(r"[a-z0-9]+", "".join(c for c in bare if not unicodedata.combining(c)))
    joined = "_".join(words)
    if not joined:
        return fallback
    return joined if joined[0].isalpha() else f"{fallback.split('_')[0]}_{joined}"


def unique(name: str, taken: Collection[str]) -> str:
    """The name, or the first of ``name_2``, ``name_3`` ... that is free."""
    if name not in taken:
        return name
    number = next(n for n in range(2, len(taken) + 3) if f"{name}_{n}" not in taken)
    return f"{name}_{number}"


def column_names(names: Iterable[str]) -> dict[str, str]:
    """A plain name for each column of a table, in its order.

    A name that is plain already stays, so that its neighbour gets out of its way. A keyword gets
    an underscore behind it, and a name that the models need for themselves ``source_`` before it.

    Args:
        names: The columns' names in PostgreSQL, each once.
    """
    reserved = _keywords()
    chosen: dict[str, str] = {}
    order = list(enumerate(names, start=1))
    wanted = {name: _column(name, f"column_{place}", reserved) for place, name in order}
    for _, name in sorted(order, key=lambda item: (wanted[item[1]] != item[1], item[0])):
        chosen[name] = unique(wanted[name], set(chosen.values()))
    return {name: chosen[name] for _, name in order}


def _column(name: str, fallback: str, reserved: Collection[str]) -> str:
    found = plain(name, fallback)
    if found in TAKEN_COLUMNS:
        return f"source_{found}"
    return f"{found}_" if found in reserved else found


@cache
def _keywords() -> frozenset[str]:
    """What cannot stand as a column's name without quotes in every place of a statement."""
    import duckdb

    with duckdb.connect() as engine:
        rows = engine.execute(
            "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
        ).fetchall()
    return frozenset(name for (name,) in rows) | _MISREAD


# Values that need no parentheses, here or on Spark; types; and what sqlfluff takes for a clause.
_MISREAD = frozenset({
    "current_date", "current_time", "current_timestamp", "current_user", "localtime",
    "localtimestamp", "rowid", "session_user", "user", "double", "float", "real",
    "connect", "grant",
})  # fmt: skip
