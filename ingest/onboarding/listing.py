"""Writing to ``ingest/sources.yml``: new sources and tables, nothing else touched.

Here belongs the text of an entry and putting it into the file. Here does not belong what the entry
says (``propose``).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ingest.onboarding.yaml_text import append_items, read_text
from ingest.sources import SourcesError, TableSpec, parse_sources, sources_file
from lakehouse.files import write_text_atomically
from lakehouse.settings import Settings


def add_tables(settings: Settings, source: str, specs: Sequence[TableSpec]) -> Path:
    """Add tables to a source in ``ingest/sources.yml``, and the source if it is not there.

    Args:
        settings: The project.
        source: The source.
        specs: The tables, none of them listed yet.

    Returns:
        The file.

    Raises:
        SourcesError: The file is written so that this cannot be added to it; it is left as it was.
    """
    file = sources_file(settings)
    before = read_text(file)
    was = {one.name: one for one in parse_sources(before, file)}
    text = before
    if source in was:
        schema = was[source].schema
    else:
        schema = Counter(spec.schema for spec in specs).most_common(1)[0][0]
        item = _lines({"name": source, "dsn_env": specs[0].dsn_env, "schema": schema})
        text = append_items(text, ["sources"], [f"{item}\ntables: []"])
    entries = [entry(spec, schema) for spec in specs]
    text = append_items(text, ["sources", ("name", source), "tables"], entries)
    now = [table for one in parse_sources(text, file) for table in one.tables]
    wanted = [table for one in was.values() for table in one.tables] + list(specs)
    if sorted(now, key=_label) != sorted(wanted, key=_label):
        lines = "\n".join(entry(spec, None) for spec in specs)
        raise SourcesError(
            f"{file} is written in a way to which nothing can be added",
            f"add this to it by hand: {lines}",
        )
    write_text_atomically(file, text)
    return file


def _label(spec: TableSpec) -> str:
    return spec.label


def entry(spec: TableSpec, schema: str | None) -> str:
    """A table's entry in block style, without the dash.

    Args:
        spec: The table.
        schema: The schema that its source names; another one stands in the entry.
    """
    fields: dict[str, Any] = {"name": spec.name}
    if spec.table is not None:
        fields["table"] = spec.table
    if spec.schema != schema:
        fields["schema"] = spec.schema
    if spec.primary_key:
        fields["primary_key"] = list(spec.primary_key)
    if spec.cursor is not None:
        fields |= {"cursor": spec.cursor, "clock": spec.clock, "lookback": spec.lookback.text}
        if spec.lookback.units:
            fields["lookback"] = spec.lookback.units
        fields["null_cursor"] = spec.null_cursor
    fields["deletes"] = spec.deletes
    return _lines(fields)


def scalar(value: object) -> str:
    """A value as YAML in one line: quoted where a plain one would mean something else."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=1_000_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _lines(fields: dict[str, Any]) -> str:
    said = {key: value for key, value in fields.items() if value is not None}
    return "\n".join(f"{key}: {scalar(value)}" for key, value in said.items())
