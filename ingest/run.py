"""A run over the tables of several sources: each source by itself, and one report a table.

Here belongs that a source which does not answer stops no other one. Here does not belong reading a
table (``ingest.postgres``) or which tables there are (``ingest.sources``).
"""

from collections.abc import Sequence
from typing import Any

from ingest.postgres import ExtractionError, ExtractReport, extract_tables
from ingest.sources import TableSpec, by_source
from lakehouse.errors import LakeError
from lakehouse.settings import Settings
from lakehouse.source import source_dsn


def extract_sources(
    settings: Settings, tables: Sequence[TableSpec], **options: Any
) -> list[ExtractReport]:
    """Land what changed in the tables of any number of sources.

    Args:
        settings: The project.
        tables: The tables; those of one source are read in one snapshot.
        options: As for ``ingest.postgres.extract_tables``.

    Returns:
        One report a table; sources and tables in their order.

    Raises:
        ExtractionError: At least one table was not finished; carries all reports.
        LakeError: There is one source, and nothing of it could be extracted at all.
    """
    errors: list[LakeError] = []
    reports: list[ExtractReport] = []
    sources = by_source(tables)
    for specs in sources.values():
        try:
            with source_dsn(settings, specs[0].dsn_env) as dsn:
                reports += extract_tables(settings, dsn, specs, **options)
        except ExtractionError as error:
            errors += error.errors
            reports += error.reports
        except LakeError as error:
            if len(sources) == 1:
                raise
            said = LakeError(f"source {specs[0].source}: {error.cause}", error.next_step)
            errors.append(said)
            reports += [
                ExtractReport(source=spec.source, table=spec.name, error=str(said))
                for spec in specs
            ]
    if errors:
        raise ExtractionError(errors, reports)
    return reports
