"""The one list of sources and tables, read from the checkout's ``sources.yml`` and checked.

Here belongs what a user may declare about a table and the sentences for what is wrong with it. Here
does not belong anything that looks at a database: a declared column that does not exist is found by
the extractor.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import yaml

from lakehouse.errors import LakeError
from lakehouse.settings import Settings
from lakehouse.source import DEFAULT_VARIABLE

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
_FILE_KEYS = ("sources",)
_SOURCE_KEYS = ("name", "dsn_env", "schema", "tables")
_TABLE_KEYS = (
    "name", "table", "schema", "primary_key", "cursor", "lookback", "max_delete_share",
    "deletes_every", *_CHOICES
)  # fmt: skip
_RESERVED = {"stream": "the streams land under it", "base": "base models have it for a folder"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


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
        name: The table in the raw layer, in dbt and in Dagster: a plain name.
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
        table: The table in PostgreSQL; None if it has the name above there, too.
        dsn_env: The environment variable that holds the address of the source's database.
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
    table: str | None = None
    dsn_env: str = DEFAULT_VARIABLE

    @property
    def relation(self) -> str:
        """The table's name in PostgreSQL, as it is there."""
        return self.table or self.name

    @property
    def origin(self) -> str:
        """Schema and table as they are written in SQL."""
        return f"{as_identifier(self.schema)}.{as_identifier(self.relation)}"

    @property
    def label(self) -> str:
        """How messages name the table."""
        return f"{self.source}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """What is declared about a source.

    Attributes:
        name: Its name.
        dsn_env: The environment variable that holds the address of its database.
        schema: PostgreSQL schema of the tables that name none; None if each names one.
        tables: Its tables.
    """

    name: str
    dsn_env: str
    schema: str | None
    tables: tuple[TableSpec, ...]


def load_sources(settings: Settings) -> tuple[TableSpec, ...]:
    """Read and check the list of tables, ``ingest/sources.yml`` in the checkout.

    Args:
        settings: The project.

    Returns:
        The tables in the file's order, which is the order of extraction.

    Raises:
        SourcesError: The file is missing or something in it cannot be used.
    """
    return tuple(table for source in read_sources(settings) for table in source.tables)


def read_sources(settings: Settings) -> tuple[SourceSpec, ...]:
    """Read and check the list of sources, those without a table included.

    Raises:
        SourcesError: The file is missing or something in it cannot be used.
    """
    file = sources_file(settings)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SourcesError(
            f"cannot read {file}: {error.strerror}",
            "restore the file, or name the checkout in LAKE_ROOT",
        ) from error
    return parse_sources(content, file)


def sources_file(settings: Settings) -> Path:
    """Where the list is."""
    # In the checkout, as `.env` and the dbt project: the installed code may lie elsewhere.
    return settings.root / "ingest" / "sources.yml"


def parse_sources(text: str | bytes, file: Path) -> tuple[SourceSpec, ...]:
    """Check a list of sources.

    Args:
        text: The YAML.
        file: Where it stands, for messages.

    Returns:
        The sources in the list's order.

    Raises:
        SourcesError: Something in it cannot be used.
    """
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise SourcesError(f"{file} is not YAML: {problem}", "correct the file") from error
    reader = _Reader(file)
    sources = tuple(reader.source(source) for source in reader.sources(content))
    reader.refuse_repetition([table for source in sources for table in source.tables])
    return sources


def check_source_name(name: str) -> str:
    """The name, if a source can have it.

    Raises:
        SourcesError: It cannot.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        why = _RESERVED.get(name, "it needs a-z, 0-9 and _, a letter first")
        raise SourcesError(f"a source cannot have the name {name!r}: {why}", "choose another")
    return name


def check_variable(name: str) -> str:
    """The name, if it is one of an environment variable.

    Raises:
        SourcesError: It is not; the message does not repeat it, as it may be an address.
    """
    if not _VARIABLE.fullmatch(name):
        raise SourcesError(
            "that is no name of an environment variable",
            "say one like LAKE_ERP_DSN, and put the address into it",
        )
    return name


def select_tables(specs: Sequence[TableSpec], names: Iterable[str] | None) -> list[TableSpec]:
    """Pick tables by name, keeping the list's order.

    Args:
        specs: All tables.
        names: ``table``, ``source.table`` or ``source``; None or nothing means all.

    Raises:
        SourcesError: A name is not in the list, or is that of a table in several sources.
    """
    wanted = list(names or ())
    known = {name for spec in specs for name in _names(spec)}
    if unknown := [name for name in wanted if name not in known]:
        raise SourcesError(
            f"there is no table {', '.join(unknown)} in ingest/sources.yml",
            f"choose from {', '.join(spec.name for spec in specs)}, or add it there",
        )
    sources = {spec.source for spec in specs}
    for name in wanted:
        labels = [spec.label for spec in specs if spec.name == name]
        if len(labels) > 1 and name not in sources:
            raise SourcesError(
                f"there is a table {name} in several sources", f"say {' or '.join(labels)}"
            )
    # A name that is both a source's and a table's means the source: it holds the table or is said
    # in full.
    return [
        spec
        for spec in specs
        if not wanted
        or {spec.source, spec.label} & set(wanted)
        or (spec.name in wanted and spec.name not in sources)
    ]


def as_identifier(name: str) -> str:
    """A PostgreSQL name as a person writes it: in quotes only where they are needed."""
    if _PLAIN.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def by_source(specs: Iterable[TableSpec]) -> dict[str, list[TableSpec]]:
    """The tables of each source, sources and tables in the list's order."""
    found: dict[str, list[TableSpec]] = {}
    for spec in specs:
        found.setdefault(spec.source, []).append(spec)
    return found


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
        if not isinstance(content, Mapping) or not isinstance(sources, list):
            raise self._error("it", "has no list `sources`")
        self._keys("it", content, _FILE_KEYS)
        for source in sources:
            if not isinstance(source, Mapping):
                raise self._error("a source", "is not a mapping")
            self._name("a source", source)
            where = f"source {source['name']}"
            if source["name"] in _RESERVED:
                why = _RESERVED[source["name"]]
                raise self._error(where, f"has a name that is taken: {why}", "choose another")
            self._keys(where, source, _SOURCE_KEYS)
            if not isinstance(source.get("tables"), list):
                raise self._error(where, "has no list `tables`")
        names = [source["name"] for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise self._error(f"source {name}", "is listed twice")
        return sources

    def source(self, source: Mapping[str, Any]) -> SourceSpec:
        where = f"source {source['name']}"
        return SourceSpec(
            name=str(source["name"]),
            dsn_env=self._variable(where, source),
            schema=self._text(where, source, "schema") if "schema" in source else None,
            tables=tuple(self._table(source, table) for table in source["tables"]),
        )

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
        self._keys(where, table, _TABLE_KEYS)
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
            table=self._text(where, table, "table") if "table" in table else None,
            dsn_env=self._variable(f"source {source['name']}", source),
            **cast("dict[str, Any]", chosen),
        )

    def _keys(self, where: str, item: Mapping[Any, Any], known: Collection[str]) -> None:
        """Refuse a key that would be ignored."""
        for key in map(str, item):
            if key in known:
                continue
            close = get_close_matches(key.lower().replace("-", "_"), known, n=1)
            raise self._error(
                where,
                f"has an unknown key `{key}`",
                f"did you mean `{close[0]}`?" if close else f"choose from {', '.join(known)}",
            )

    def _variable(self, where: str, source: Mapping[str, Any]) -> str:
        """The variable's name. What looks like an address is refused and never repeated."""
        name = source.get("dsn_env", DEFAULT_VARIABLE)
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise self._error(
                where,
                "has a `dsn_env` that is no name of an environment variable",
                f"write one like LAKE_SOURCE_{str(source['name']).upper()}_DSN there, and the "
                "address into .env",
            )
        return name

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

    def _share(self, where: str, table: Mapping[str, Any]) -> float:
        share = table.get("max_delete_share", _DEFAULT_DELETE_SHARE)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise self._error(where, f"has `max_delete_share: {share}`; give a number from 0 to 1")
        return float(share)

    def _error(self, where: str, problem: str, fix: str | None = None) -> SourcesError:
        return SourcesError(f"{self._file}: {where} {problem}", fix or "correct the file")


def _names(spec: TableSpec) -> tuple[str, str, str]:
    """By what it can be asked for."""
    return spec.name, spec.label, spec.source


if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    # The C parser is several times faster; not every build of PyYAML has it.
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """PyYAML's loader, which takes the last of two equal keys without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key `{key.value}` stands twice", problem_mark=key.start_mark
                )
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found
