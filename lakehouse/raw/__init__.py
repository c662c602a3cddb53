"""The raw layer: an append-only log of Parquet files in which one file is one commit.

Here belong the naming, writing, listing, verifying and compacting of commits. Here does not belong
what the rows mean: extractors and streams decide that, dbt reads them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.raw.commits import CommitInfo, RawTable, Slice, raw_tables
    from lakehouse.raw.errors import RawFileError
    from lakehouse.raw.names import new_batch_id
    from lakehouse.raw.schema import META_FIELDS, raw_schema, schema_hash
    from lakehouse.raw.writer import CommitWriter, remove_orphans

_HOMES = {
    "META_FIELDS": "schema",
    "CommitInfo": "commits",
    "CommitWriter": "writer",
    "RawFileError": "errors",
    "RawTable": "commits",
    "Slice": "commits",
    "new_batch_id": "names",
    "raw_schema": "schema",
    "raw_tables": "commits",
    "remove_orphans": "writer",
    "schema_hash": "schema",
}

__all__ = [
    "META_FIELDS",
    "CommitInfo",
    "CommitWriter",
    "RawFileError",
    "RawTable",
    "Slice",
    "new_batch_id",
    "raw_schema",
    "raw_tables",
    "remove_orphans",
    "schema_hash",
]


def __getattr__(name: str) -> object:
    """Import on first use: an idle ``lake build`` lists commits and needs no pyarrow."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
