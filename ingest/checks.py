"""What the batch layer contributes to ``lake doctor``: each source, its role, the guarantee.

Here belongs looking at a source with the extractor's own eyes. Here does not belong mending it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingest.sources import TableSpec, as_identifier, by_source, load_sources
from lakehouse.doctor import Check, Finding, ok, problem, skipped, warning
from lakehouse.doctor.check import Outcome
from lakehouse.errors import LakeError
from lakehouse.settings import Settings
from lakehouse.source import source_absence, source_dsn, source_name

_SHOWN = 3
_WORST_FIRST: tuple[Outcome, ...] = ("problem", "warning", "ok", "skipped")


def checks() -> Sequence[Check]:
    """The checks of the source, in order."""
    return (
        Check("table list", _table_list),
        Check("source", _each(_reachable)),
        Check("source role", _each(_role)),
        Check("watermark", _each(_guarantee)),
    )


def _table_list(settings: Settings) -> Finding:
    specs = load_sources(settings)
    sources = len(by_source(specs))
    of = f" of {sources} sources" if sources > 1 else ""
    return ok(f"{len(specs)} tables{of} in ingest/sources.yml")


def _each(
    look: Callable[[Settings, Sequence[TableSpec]], Finding],
) -> Callable[[Settings], Finding]:
    """Look at every source: the worst outcome, and each source that has it by name."""

    def check(settings: Settings) -> Finding:
        sources = by_source(load_sources(settings))
        found = {name: _finding(look, settings, specs) for name, specs in sources.items()}
        if len(found) == 1:
            return next(iter(found.values()))
        outcomes = {one.outcome for one in found.values()}
        worst: Outcome = next((o for o in _WORST_FIRST if o in outcomes), "ok")
        named = {name: one for name, one in found.items() if one.outcome == worst}
        text = "; ".join(f"{name}: {one.text}" for name, one in named.items())
        steps = dict.fromkeys(one.next_step for one in named.values() if one.next_step)
        return Finding(worst, text or "no source is listed", "; ".join(steps) or None)

    return check


def _finding(
    look: Callable[[Settings, Sequence[TableSpec]], Finding],
    settings: Settings,
    specs: Sequence[TableSpec],
) -> Finding:
    variable = specs[0].dsn_env
    if absence := source_absence(settings, variable):
        return skipped(absence)
    try:
        return look(settings, specs)
    except LakeError as error:
        return problem(error.cause, error.next_step)


def _reachable(settings: Settings, specs: Sequence[TableSpec]) -> Finding:
    with _session(settings, specs) as connection:
        found = connection.row(
            "select current_setting('server_version') as version, current_user::text as role,"
            " pg_is_in_recovery() as standby"
        )
        missing = [spec.label for spec in specs if not _exists(connection, spec)]
    kind = "standby" if found["standby"] else "primary"
    if missing:
        return problem(
            f"PostgreSQL answers, but has no table {_some(missing)}",
            "create them or correct ingest/sources.yml; the demo's tables are made by `lake seed`",
        )
    where = source_name(settings, specs[0].dsn_env)
    return ok(f"PostgreSQL {found['version']} ({kind}, {where}), as {found['role']}")


def _role(settings: Settings, specs: Sequence[TableSpec]) -> Finding:
    """The extractor's role may read every listed table and change none."""
    unreadable: list[TableSpec] = []
    writable: list[str] = []
    with _session(settings, specs) as connection:
        role = connection.row("select current_user::text as role")["role"]
        for spec in specs:
            if not _exists(connection, spec):
                continue
            name = _regclass(spec)
            rights = connection.row(
                f"select has_table_privilege({name}, 'SELECT') as may_read,"
                f" has_table_privilege({name}, 'INSERT, UPDATE, DELETE, TRUNCATE') as may_write"
            )
            if not rights["may_read"]:
                unreadable.append(spec)
            if rights["may_write"]:
                writable.append(spec.label)
    if unreadable:
        schemas = ", ".join(sorted({as_identifier(spec.schema) for spec in unreadable}))
        return problem(
            f"{role} may not read {_some([spec.label for spec in unreadable])}",
            f"as their owner, run `grant select on all tables in schema {schemas} to {role}`",
        )
    if writable:
        return warning(
            f"{role} may also change {_some(writable)}; an extractor needs SELECT only",
            f"name a role with fewer rights in {specs[0].dsn_env}, such as lake_extractor",
        )
    return ok(f"{role} may read all tables and change none")


def _guarantee(settings: Settings, specs: Sequence[TableSpec]) -> Finding:
    """Whether the watermark is exact or rests on each table's lookback."""
    from ingest.postgres.watermark import read_server_bound

    with _session(settings, specs) as connection:
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
def _session(settings: Settings, specs: Sequence[TableSpec]) -> Iterator[Any]:
    from ingest.postgres.connection import Connection

    with source_dsn(settings, specs[0].dsn_env) as dsn, Connection(dsn) as connection:
        yield connection


def _exists(connection: Any, spec: TableSpec) -> bool:
    return bool(connection.row(f"select {_regclass(spec)} is not null as found")["found"])


def _regclass(spec: TableSpec) -> str:
    from ingest.postgres.types import identifier, literal

    return f"to_regclass({literal(f'{identifier(spec.schema)}.{identifier(spec.relation)}')})"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
