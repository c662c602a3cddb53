"""Quoting: how names and values enter a statement.

The driver reads with COPY, to which it cannot bind parameters, so values are written as literals.
"""

from collections.abc import Iterable


def identifier(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a text; the session has ``standard_conforming_strings`` on, so only quotes matter."""
    return "'" + value.replace("'", "''") + "'"


def typed(value: str, pg_type: str) -> str:
    """A value given by its exact text, as a constant of its type."""
    return f"{literal(value)}::{pg_type}"


def names(columns: Iterable[str], prefix: str = "") -> str:
    """Quoted names, separated by commas, each with the prefix before it."""
    return ", ".join(f"{prefix}{identifier(column)}" for column in columns)
