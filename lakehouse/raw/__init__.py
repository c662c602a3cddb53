"""The raw layer: an append-only log of Parquet files in which one file is one commit.

Here belong the naming, writing, listing and verifying of commits. Here does not belong what the
rows mean: extractors and streams decide that, dbt reads them.
"""

from lakehouse.raw.commits import CommitInfo, RawTable, new_batch_id, raw_tables
from lakehouse.raw.errors import RawFileError
from lakehouse.raw.schema import META_FIELDS, raw_schema, schema_hash
from lakehouse.raw.verify import verify_commit
from lakehouse.raw.writer import CommitWriter, remove_orphans

__all__ = [
    "META_FIELDS",
    "CommitInfo",
    "CommitWriter",
    "RawFileError",
    "RawTable",
    "new_batch_id",
    "raw_schema",
    "raw_tables",
    "remove_orphans",
    "schema_hash",
    "verify_commit",
]
