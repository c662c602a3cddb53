"""What the batch layer contributes to ``lake doctor``: the source, the role, the guarantee.

Here belongs looking at a source with the extractor's own eyes. Here does not belong mending it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingest.sources import TableSpec, load_sources
from lakehouse.doctor import Check, Finding, ok, problem, skipped, warning
from lakehouse.settings import Settings
from lakehouse.source import source_absence, source_dsn, source_name

_SHOWN = 3


def checks() -> Sequence[Check]:
    """The checks of the source, in order."""
    return (
        Check("table list", _table_list),
        Check("source", _reachable),
        Check("source role", _role),
        Check("watermark", _guarantee),
    )


def _table_list(settings: Settings) -> Finding:
    return ok(f"{len(load_sources(settings))} tables in ingest/sources.yml")


def _reachable(settings: Settings) -> Finding:
    if absence := source_absence(settings):
        return skipped(absence)
    with _session(settings) as connection:
        found = connection.row(
            "select current_setting('server_version') as version, current_user::text as role,"
            " pg_is_in_recovery() as standby"
        )
        missing = [spec.label for spec in load_sources(settings) if not _exists(connection, spec)]
    kind = "standby" if found["standby"] else "primary"
    if missing:
        return problem(
            f"PostgreSQL answers, but has no table {_some(missing)}",
            "create them or correct ingest/sources.yml; without LAKE_SOURCE_DSN `lake seed` makes"
            " the demo's tables",
        )
    where = source_name(settings)
    return ok(f"PostgreSQL {found['version']} ({kind}, {where}), as {found['role']}")


def _role(settings: Settings) -> Finding:
    """The extractor's role may read every listed table and change none."""
    if absence := source_absence(settings):
        return skipped(absence)
    unreadable: list[str] = []
    writable: list[str] = []
    schemas = ", ".join(sorted({spec.schema for spec in load_sources(settings)}))
    with _session(settings) as connection:
        role = connection.row("select current_user::text as role")["role"]
        for spec in load_sources(settings):
            if not _exists(connection, spec):
                continue
            name = _regclass(spec)
            rights = connection.row(
                f"select has_table_privilege({name}, 'SELECT') as may_read,"
                f" has_table_privilege({name}, 'INSERT, UPDATE, DELETE, TRUNCATE') as may_write"
            )
            if not rights["may_read"]:
                unreadable.append(spec.label)
            if rights["may_write"]:
                writable.append(spec.label)
    if unreadable:
        return problem(
            f"{role} may not read {_some(unreadable)}",
            f"as their owner, run `grant select on all tables in schema {schemas} to {role}`",
        )
    if writable:
        return warning(
            f"{role} may also change {_some(writable)}; an extractor needs SELECT only",
            "name a role with fewer rights in LAKE_SOURCE_DSN, such as lake_extractor",
        )
    return ok(f"{role} may read all tables and change none")


def _guarantee(settings: Settings) -> Finding:
    """Whether the watermark is exact or rests on each table's lookback."""
    from ingest.postgres.watermark import read_server_bound

    if absence := source_absence(settings):
        return skipped(absence)
    with _session(settings) as connection:
        bound = read_server_bound(connection, ())
    if bound.doubt is not None:
        return warning(
            f"not exact: {bound.doubt}; each run reads the table's lookback again",
            "grant pg_read_all_stats to the role and extract from the primary, or widen `lookback`"
            " in ingest/sources.yml",
        )
    if bound.held_by is not None:
        return warning(
            f"exact, but held back by {bound.held_by}", "end that transaction at the source"
        )
    return ok("exact: open transactions are seen, so no row can be missed")


@contextmanager
def _session(settings: Settings) -> Iterator[Any]:
    from ingest.postgres.connection import Connection

    with source_dsn(settings) as dsn, Connection(dsn) as connection:
        yield connection


def _exists(connection: Any, spec: TableSpec) -> bool:
    return bool(connection.row(f"select {_regclass(spec)} is not null as found")["found"])


def _regclass(spec: TableSpec) -> str:
    from ingest.postgres.types import identifier, literal

    return f"to_regclass({literal(f'{identifier(spec.schema)}.{identifier(spec.name)}')})"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
