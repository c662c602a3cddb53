"""Extraction from PostgreSQL that loses nothing: watermark, snapshot, commits, tombstones.

Here belongs everything between a connection string and committed raw files. Here does not belong
the list of tables (``ingest.sources``) or which database is read.
"""

from ingest.postgres.errors import ConnectionLostError, DeletesRefusedError, SourceError
from ingest.postgres.extraction import DEFAULT_CHUNK_ROWS, extract_tables
from ingest.postgres.report import ExtractionError, ExtractReport

__all__ = [
    "DEFAULT_CHUNK_ROWS",
    "ConnectionLostError",
    "DeletesRefusedError",
    "ExtractReport",
    "ExtractionError",
    "SourceError",
    "extract_tables",
]
