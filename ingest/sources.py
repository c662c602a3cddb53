"""The one list of sources and tables, read from the checkout's ``sources.yml`` and checked.

Here belongs what a user may declare about a table and the sentences for what is wrong with it. Here
does not belong anything that looks at a database: a declared column that does not exist is found by
the extractor.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from lakehouse.errors import LakeError
from lakehouse.settings import Settings

NullCursor = Literal["include", "raise", "exclude"]
Deletes = Literal["reconcile", "ignore"]
Clock = Literal["database", "application"]
SchemaDrift = Literal["evolve", "freeze"]

_DEFAULT_DELETE_SHARE = 0.20
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CHOICES: dict[str, tuple[str, ...]] = {
    "null_cursor": ("include", "raise", "exclude"),
    "deletes": ("reconcile", "ignore"),
    "clock": ("database", "application"),
    "schema_drift": ("evolve", "freeze"),
}
_TABLE_KEYS = {
    "name",
    "schema",
    "primary_key",
    "cursor",
    "lookback",
    "max_delete_share",
    "deletes_every",
    *_CHOICES,
}
_SOURCE_KEYS = {"name", "schema", "tables"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class SourcesError(LakeError):
    """``sources.yml`` says something that cannot be used, or does not know what was asked for."""


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far below the watermark every run reads again.

    Attributes:
        text: As declared, for people.
        span: The same for a cursor of time.
        units: The same for a numeric cursor.
    """

    text: str
    span: timedelta
    units: int

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """What is declared about one table.

    Attributes:
        source: Name of the source: the first folder below the raw layer.
        schema: PostgreSQL schema that holds the table.
        name: The table, there and in the raw layer.
        primary_key: Columns that identify a row; empty means the key that the database declares.
        cursor: Column that grows whenever a row is inserted or updated; None means that every run
            reads the whole table.
        lookback: How far below the watermark every run reads again.
        null_cursor: What to do with rows whose cursor is NULL.
        deletes: Whether keys that disappeared become tombstones.
        clock: Who sets the cursor; only the database's clock allows an exact watermark. None means
            that nobody has said.
        schema_drift: What changed columns do: ``evolve`` lands them, ``freeze`` stops the table.
        deletes_every: How often the keys of a large table are compared; None means at every run of
            a small one, and hourly.
        max_delete_share: Largest share of the live rows that one run may tombstone, 0 to 1.
    """

    source: str
    schema: str
    name: str
    primary_key: tuple[str, ...]
    cursor: str | None
    lookback: Lookback
    null_cursor: NullCursor = "include"
    deletes: Deletes = "reconcile"
    clock: Clock | None = None
    schema_drift: SchemaDrift = "evolve"
    deletes_every: timedelta | None = None
    max_delete_share: float = _DEFAULT_DELETE_SHARE

    @property
    def label(self) -> str:
        """How messages name the table."""
        return f"{self.source}.{self.name}"


def load_sources(settings: Settings) -> tuple[TableSpec, ...]:
    """Read and check the list of tables, ``ingest/sources.yml`` in the checkout.

    Args:
        settings: The project.

    Returns:
        The tables in the file's order, which is the order of extraction.

    Raises:
        SourcesError: The file is missing or something in it cannot be used.
    """
    # In the checkout, as `.env` and the dbt project: the installed code may lie elsewhere.
    file = settings.root / "ingest" / "sources.yml"
    try:
        content = yaml.load(file.read_bytes(), Loader=_loader())  # noqa: S506 - both are safe loaders
    except OSError as error:
        raise SourcesError(
            f"cannot read {file}: {error.strerror}",
            "restore the file, or name the checkout in LAKE_ROOT",
        ) from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise SourcesError(f"{file} is not YAML: {problem}", "correct the file") from error
    reader = _Reader(file)
    tables = tuple(spec for source in reader.sources(content) for spec in reader.tables(source))
    reader.refuse_repetition(tables)
    return tables


def select_tables(specs: Sequence[TableSpec], names: Iterable[str] | None) -> list[TableSpec]:
    """Pick tables by name, keeping the list's order.

    Args:
        specs: All tables.
        names: ``table`` or ``source.table``; None or nothing means all.

    Raises:
        SourcesError: A name is not in the list.
    """
    wanted = list(names or ())
    known = {name for spec in specs for name in (spec.name, spec.label)}
    if unknown := [name for name in wanted if name not in known]:
        raise SourcesError(
            f"there is no table {', '.join(unknown)} in ingest/sources.yml",
            f"choose from {', '.join(spec.name for spec in specs)}, or add it there",
        )
    return [spec for spec in specs if not wanted or {spec.name, spec.label} & set(wanted)]


def parse_lookback(value: object) -> Lookback:
    """Read ``90s``, ``30m``, ``1h``, ``2d`` or a bare number.

    Raises:
        ValueError: It is none of these.
    """
    text = str(value).strip()
    match = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", text)
    if match is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a span such as 90s, 30m, 1h or 2d")
    number, unit = int(match[1]), match[2]
    if not unit:
        return Lookback(text, timedelta(0), number)
    return Lookback(text, timedelta(**{_UNITS[unit]: number}), 0)


class _Reader:
    """Turns the parsed YAML into specifications, naming the file, table and key of any mistake."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def sources(self, content: object) -> list[Mapping[str, Any]]:
        sources = content.get("sources") if isinstance(content, Mapping) else None
        if not isinstance(sources, list) or not sources:
            raise self._error("it", "has no list `sources`")
        self._known("it", cast("Mapping[str, Any]", content), {"sources"})
        for source in sources:
            if not isinstance(source, Mapping):
                raise self._error("a source", "is not a mapping")
            self._name("a source", source)
            self._known(f"source {source['name']}", source, _SOURCE_KEYS)
            if not isinstance(source.get("tables"), list):
                raise self._error(f"source {source['name']}", "has no list `tables`")
        return sources

    def tables(self, source: Mapping[str, Any]) -> list[TableSpec]:
        return [self._table(source, table) for table in source["tables"]]

    def refuse_repetition(self, tables: Sequence[TableSpec]) -> None:
        labels = [table.label for table in tables]
        for label in labels:
            if labels.count(label) > 1:
                raise self._error(f"table {label}", "is listed twice")

    def _table(self, source: Mapping[str, Any], table: object) -> TableSpec:
        where = f"a table of source {source['name']}"
        if not isinstance(table, Mapping):
            raise self._error(where, "is not a mapping")
        self._name(where, table)
        where = f"table {source['name']}.{table['name']}"
        self._known(where, table, _TABLE_KEYS)
        chosen = {key: self._choice(where, table, key) for key in _CHOICES if key in table}
        return TableSpec(
            source=str(source["name"]),
            schema=self._text(where, {**source, **table}, "schema"),
            name=str(table["name"]),
            primary_key=self._primary_key(where, table),
            cursor=self._text(where, table, "cursor") if "cursor" in table else None,
            lookback=self._lookback(where, table),
            deletes_every=self._deletes_every(where, table),
            max_delete_share=self._share(where, table),
            **cast("dict[str, Any]", chosen),
        )

    def _name(self, where: str, item: Mapping[str, Any]) -> None:
        # The name becomes a folder, an asset key and a dbt source, all of which want it plain.
        if not _NAME.fullmatch(self._text(where, item, "name")):
            raise self._error(where, f"has the name {item['name']!r}; use a-z, 0-9 and _")

    def _text(self, where: str, item: Mapping[str, Any], key: str) -> str:
        value = item.get(key)
        if not isinstance(value, str) or not value:
            raise self._error(where, f"needs `{key}`, a text")
        return value

    def _choice(self, where: str, table: Mapping[str, Any], key: str) -> str:
        if table[key] not in _CHOICES[key]:
            choices = ", ".join(_CHOICES[key])
            raise self._error(where, f"has `{key}: {table[key]}`; choose from {choices}")
        return str(table[key])

    def _primary_key(self, where: str, table: Mapping[str, Any]) -> tuple[str, ...]:
        columns = table.get("primary_key", [])
        if isinstance(columns, str):
            columns = [columns]
        if not isinstance(columns, list) or not all(isinstance(c, str) and c for c in columns):
            raise self._error(where, "needs `primary_key` as a list of column names")
        return tuple(columns)

    def _lookback(self, where: str, table: Mapping[str, Any]) -> Lookback:
        try:
            return parse_lookback(table.get("lookback", "1h"))
        except ValueError as error:
            raise self._error(where, f"has `lookback`: {error}") from error

    def _deletes_every(self, where: str, table: Mapping[str, Any]) -> timedelta | None:
        if "deletes_every" not in table:
            return None
        try:
            return parse_lookback(table["deletes_every"]).span
        except ValueError as error:
            raise self._error(where, f"has `deletes_every`: {error}") from error

    def _known(self, where: str, item: Mapping[str, Any], keys: set[str]) -> None:
        if unknown := sorted(set(map(str, item)) - keys):
            raise self._error(where, f"has an unknown key `{unknown[0]}`")

    def _share(self, where: str, table: Mapping[str, Any]) -> float:
        share = table.get("max_delete_share", _DEFAULT_DELETE_SHARE)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise self._error(where, f"has `max_delete_share: {share}`; give a number from 0 to 1")
        return float(share)

    def _error(self, where: str, problem: str) -> SourcesError:
        return SourcesError(f"{self._file}: {where} {problem}", "correct the file")


def _loader() -> type[Any]:
    # The C parser is several times faster; not every build of PyYAML has it.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
