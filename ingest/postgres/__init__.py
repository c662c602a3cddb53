"""Extraction from PostgreSQL that loses nothing: watermark, snapshot, commits, tombstones.

Here belongs everything between a connection string and committed raw files. Here does not belong
the list of tables (``ingest.sources``) or which database is read.

One row's way: ``extract`` opens the snapshot, ``table`` takes the steps: ``plan`` decides what is
read, ``read`` reads it, ``known`` drops what raw holds already, ``commit`` writes the rest.
"""

from ingest.postgres.extract import DEFAULT_CHUNK_ROWS, extract_tables
from ingest.postgres.report import (
    ConnectionLostError,
    DeletesRefusedError,
    ExtractionError,
    ExtractReport,
    SourceError,
)

__all__ = [
    "DEFAULT_CHUNK_ROWS",
    "ConnectionLostError",
    "DeletesRefusedError",
    "ExtractReport",
    "ExtractionError",
    "SourceError",
    "extract_tables",
]
