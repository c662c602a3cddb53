"""Publishing with the version before as the base, however much has changed, and comparing both."""

import duckdb
import pytest

from lakehouse.publishing import current_version, reuse
from lakehouse.publishing.publish import publish
from lakehouse.settings import Settings

SCHEMAS = ("quarantine", "marts")


def publish_by_reuse(settings: Settings, *, most_replaced: float = 1e9) -> int:
    """Publish what the build file holds, between two runs of dbt.

    Args:
        settings: The project.
        most_replaced: The share of rows beyond which a version is copied row by row.

    Returns:
        Rows replaced since a version was copied row by row; 0 for one that was.
    """
    with duckdb.connect(str(settings.build_file)) as connection, pytest.MonkeyPatch.context() as m:
        m.setattr(reuse, "_MOST_REPLACED", most_replaced)
        connection.execute("set variable raw_dir = ?", [str(settings.raw_dir)])
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where schema_name in $1 union all"
            " select schema_name, view_name from duckdb_views() where schema_name in $1",
            [SCHEMAS],
        ).fetchall()
        publish(connection, settings, schemas=SCHEMAS, tables=tables, invocation_id="test")
        row = connection.execute("select replaced_rows from ops.published").fetchone()
        assert row is not None
        return int(row[0])


def unlike_the_build(settings: Settings) -> dict[str, int]:
    """Tables of the published version that do not hold the build's rows, with how many differ."""
    with duckdb.connect() as connection:
        version = current_version(settings)
        connection.execute(f"attach '{settings.build_file}' as lakehouse (read_only)")
        connection.execute(f"attach '{version.path}' as version (read_only)")
        assert version.rows, "something is published"
        found = {}
        for table in version.rows:
            row = connection.execute(
                f"select count(*) from ((from lakehouse.{table} except all from version.{table})"
                f" union all (from version.{table} except all from lakehouse.{table}))"
            ).fetchone()
            assert row is not None
            if row[0]:
                found[table] = row[0]
        return found
