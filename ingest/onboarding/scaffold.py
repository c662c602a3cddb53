"""dbt files for the listed tables of a source, written from the catalogue; a person's stay his.

Here belongs which file gets what, and leaving alone what somebody changed. Here does not belong
what the files say (``dbt_text``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import yaml

from ingest.onboarding import dbt_text
from ingest.onboarding.dbt_text import ColumnText, TableText
from ingest.onboarding.extractor import Extractor
from ingest.onboarding.inspect import CatalogColumn, Relation, read_relations
from ingest.onboarding.names import column_names
from ingest.onboarding.yaml_text import (
    Step,
    YamlTextError,
    append_items,
    items_in,
    read_text,
    replace_item,
)
from ingest.postgres.catalog import SourceTable
from ingest.sources import SourceSpec, TableSpec
from lakehouse.errors import LakeError
from lakehouse.files import write_text_atomically
from lakehouse.settings import Settings

Outcome = Literal["new", "added", "replaced", "as it is", "differs"]

_DUCKDB: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_int16, "smallint"),
    (pa.types.is_int32, "integer"),
    (pa.types.is_int64, "bigint"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_float32, "real"),
    (pa.types.is_float64, "double"),
    (pa.types.is_binary, "blob"),
    (pa.types.is_date32, "date"),
)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a file, or of one item in it.

    Attributes:
        path: The file, below the root.
        outcome: ``differs`` means that it was left, although it would be written otherwise.
        item: The item; None means the whole file.
    """

    path: Path
    outcome: Outcome
    item: str | None = None


def read_tables(
    extractor: Extractor,
    source: SourceSpec,
    chosen: Sequence[TableSpec],
    has_model: Callable[[TableSpec], bool],
) -> list[TableText]:
    """What the catalogue says about listed tables.

    Args:
        extractor: Connected to their database.
        source: The source; foreign keys to its other tables become tests.
        chosen: The tables to describe.
        has_model: Whether a table has a staging model: only then can a test name it.

    Raises:
        SourceError: A table cannot be extracted as it is listed.
    """
    schemas = {spec.schema for spec in source.tables}
    relations = {(r.schema, r.name): r for r in read_relations(extractor.connection, schemas)}
    models = {
        (spec.schema, spec.relation): spec.name
        for spec in source.tables
        if spec in chosen or has_model(spec)
    }
    return [_table(spec, extractor.judge(spec).table, relations, models) for spec in chosen]


def staging_file(settings: Settings, spec: TableSpec) -> Path:
    """Where a table's staging model is."""
    folder = settings.dbt_dir / "models" / "staging" / spec.source
    return folder / f"stg_{spec.source}__{spec.name}.sql"


def scaffold(
    settings: Settings, source: str, tables: Sequence[TableText], *, force: bool, dry_run: bool
) -> list[Written]:
    """Write what is missing.

    Args:
        settings: The project.
        source: The source.
        tables: Its tables.
        force: Replace what differs, instead of leaving it.
        dry_run: Write nothing; only say what would be done.

    Returns:
        Each file, or item of a file, and what became of it.

    Raises:
        LakeError: A file is written so that nothing can be added to it.
    """
    project = _Project(settings, force=force)
    done = project.scaffold(source, tables)
    # All or nothing: what cannot be added to is found before anything is written.
    if not dry_run:
        for path, text in project.texts.items():
            write_text_atomically(path, text)
    return done


class _Project:
    """The dbt project's files, and ``texts``: what they shall hold instead."""

    def __init__(self, settings: Settings, *, force: bool) -> None:
        self.texts: dict[Path, str] = {}
        self._root = settings.root
        self._models = settings.dbt_dir / "models"
        self._tests = settings.dbt_dir / "tests"
        self._force = force
        self._done: list[Written] = []

    def scaffold(self, source: str, tables: Sequence[TableText]) -> list[Written]:
        base, staging = self._models / "staging" / "base", self._models / "staging" / source
        quarantine = self._models / "quarantine" / source
        for table in tables:
            self._file(base / f"{table.base}.sql", dbt_text.base_sql(table))
            self._file(staging / f"{table.staging}.sql", dbt_text.staging_sql(table))
            self._file(quarantine / f"{table.quarantine}.sql", dbt_text.quarantine_sql(table))
        self._accounting(quarantine / f"accounting_{source}.sql", source, tables)
        self._file(
            self._tests / "quarantine" / f"raw_of_{source}_is_accounted_for.sql",
            dbt_text.accounting_test(source),
        )
        self._items(
            staging / f"_{source}__sources.yml",
            dbt_text.sources_head(source),
            ("sources", ("name", source), "tables"),
            {table.name: dbt_text.source_item(table) for table in tables},
        )
        head, models = dbt_text.models_head(), ("models",)
        self._items(
            base / "_base__models.yml",
            head,
            models,
            {table.base: dbt_text.base_item(table) for table in tables},
        )
        self._items(
            staging / f"_stg_{source}__models.yml",
            head,
            models,
            {table.staging: dbt_text.staging_item(table) for table in tables},
        )
        self._items(
            quarantine / f"_quarantine_{source}__models.yml",
            head,
            models,
            {table.quarantine: dbt_text.quarantine_item(table) for table in tables},
        )
        self._missing_item(
            quarantine / f"_quarantine_{source}__models.yml",
            models,
            f"accounting_{source}",
            dbt_text.accounting_item(source),
        )
        return self._done

    def _file(self, path: Path, text: str) -> None:
        if not path.exists():
            self._write(path, text, "new")
        elif read_text(path) == text:
            self._note(path, "as it is")
        elif self._force:
            self._write(path, text, "replaced")
        else:
            self._note(path, "differs")

    def _items(self, path: Path, head: str, place: Sequence[Step], items: dict[str, str]) -> None:
        """Add the items that are not there; replace those that differ only if that is wanted."""
        is_new = not path.exists()
        text = head if is_new else read_text(path)
        before = text
        try:
            known = items_in(text, place)
            text = append_items(
                text, place, [items[name] for name in items if name not in known], spaced=True
            )
            for name, item in items.items():
                outcome: Outcome = "as it is"
                if name not in known:
                    outcome = "added"
                elif known[name] != yaml.safe_load(f"{item}\n"):
                    outcome = "replaced" if self._force else "differs"
                if outcome == "replaced":
                    text = replace_item(text, (*place, ("name", name)), item)
                if not is_new:
                    self._note(path, outcome, name)
        except YamlTextError as error:
            raise LakeError(f"{path}: {error.cause}", error.next_step) from error
        if text != before:
            self.texts[path] = text
        if is_new:
            self._note(path, "new")

    def _missing_item(self, path: Path, place: Sequence[Step], name: str, item: str) -> None:
        """Add an item that is written once for all tables."""
        text = self.texts.get(path) or read_text(path)
        if name not in items_in(text, place):
            self.texts[path] = append_items(text, place, [item], spaced=True)

    def _accounting(self, path: Path, source: str, tables: Sequence[TableText]) -> None:
        is_new = not path.exists()
        before = dbt_text.accounting_sql(source) if is_new else read_text(path)
        text = dbt_text.with_accounted(before, tables)
        if text is None:
            self._note(path, "differs", "its list of tables")
        elif is_new or text != before:
            self._write(path, text, "new" if is_new else "added")
        else:
            self._note(path, "as it is")

    def _write(self, path: Path, text: str, outcome: Outcome) -> None:
        self.texts[path] = text
        self._note(path, outcome)

    def _note(self, path: Path, outcome: Outcome, item: str | None = None) -> None:
        self._done.append(Written(path.relative_to(self._root), outcome, item))


def data_type(arrow: pa.DataType) -> str:
    """How dbt declares a column of a raw file; what it cannot declare is read as text."""
    for is_it, name in _DUCKDB:
        if is_it(arrow):
            return name
    if pa.types.is_timestamp(arrow):
        return "timestamptz" if arrow.tz else "timestamp"
    if pa.types.is_decimal128(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    return "varchar"


def _table(
    spec: TableSpec,
    table: SourceTable,
    relations: dict[tuple[str, str], Relation],
    models: dict[tuple[str, str], str],
) -> TableText:
    relation = relations[spec.schema, spec.relation]
    # Those of the extractor, which adds one where a table has no key.
    own = column_names(column.name for column in table.columns)
    catalog = {column.name: column for column in relation.columns}
    references = {
        key.columns[0]: (
            f"stg_{spec.source}__{models[key.schema, key.table]}",
            _names(relations[key.schema, key.table])[key.references[0]],
        )
        for key in relation.foreign_keys
        if len(key.columns) == 1 and (key.schema, key.table) in models
    }
    return TableText(
        source=spec.source,
        name=spec.name,
        origin=spec.origin,
        comment=relation.comment,
        primary_key=tuple(own[name] for name in table.key_names),
        changed_at=own[table.cursor.name] if table.cursor else None,
        columns=tuple(
            ColumnText(
                name=own[column.name],
                raw_name=column.name,
                data_type=data_type(column.type.arrow),
                pg_type=column.pg_type,
                comment=_comment(catalog, column.name),
                not_null=not column.nullable,
                references=references.get(column.name),
            )
            for column in table.columns
        ),
        rows=table.rows_estimate,
    )


def _names(relation: Relation) -> dict[str, str]:
    return column_names(column.name for column in relation.columns)


def _comment(catalog: dict[str, CatalogColumn], name: str) -> str | None:
    if name not in catalog:
        return "What tells this row from others, as the table has no key."
    return catalog[name].comment
