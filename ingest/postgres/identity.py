"""Which database was read, at which point of its history, and which files of it.

A watermark says something about one history only. Another server, a restored backup, a failover, a
clock that went back or a truncated partition begin another one, in which rows can be others
although their cursors are old. Each commit therefore notes what it has read, and each run compares
that with what it finds.

Here belong reading these marks and comparing them. Here does not belong what follows from a
difference (``plan``, ``watermark``).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ingest.postgres.connection import Connection
from ingest.postgres.report import SourceError
from ingest.postgres.types import literal
from ingest.sources import TableSpec

# Two clocks that tick apart are no clock that went back: seconds, and seconds a second.
_CLOCK_TOLERANCE = 2.0
_CLOCK_DRIFT = 0.0002

_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMark:
    """What was read, as a commit's footer holds it.

    Attributes:
        system: The cluster's system identifier and the database's OID; None if it is not told.
        timeline: Grows with every failover and every restored backup.
        log_position: Where the server's write-ahead log was just after the snapshot; None if it is
            not told.
        started: When the server started, exact text.
        clock: The server's clock just before the snapshot, exact text.
        local_clock: The extractor's own at that time: seconds since 1970.
        boot: Identifies the start of the extractor's machine since which ``uptime`` counts.
        uptime: Seconds that no change of a clock alters.
        relations: Each relation's OID and file: the table's, its partitions', its heirs'. The file
            changes when a table is truncated or rewritten.
    """

    system: str | None
    timeline: int
    log_position: str | None
    started: str
    clock: str
    local_clock: float
    boot: str
    uptime: float
    relations: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """For a footer's details."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any] | None) -> "SourceMark | None":
        """Read it from a footer's details; None if there is none."""
        try:
            return cls(**fields) if fields else None
        except TypeError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One table of a run, or one of the relations that hold its rows.

    Attributes:
        oid: Its object identifier.
        kind: ``pg_class.relkind``.
        file: Its file on disk; 0 if it has none.
        is_subscribed: Whether logical replication fills it.
    """

    oid: str
    kind: str
    file: str
    is_subscribed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How what is read now differs from what was read before.

    Attributes:
        broken: Why nothing that was read before can be relied on; None if it can.
        added: OIDs of the relations that are new in the table.
        rewritten: OIDs of the relations that were truncated or rewritten.
        clock_back: Seconds by which the server's clock went back.
        is_clock_back: Whether that is more than two clocks drift apart.
        is_restarted: Whether the server was started since.
    """

    broken: str | None = None
    added: frozenset[str] = frozenset()
    rewritten: frozenset[str] = frozenset()
    clock_back: float = 0.0
    is_clock_back: bool = False
    is_restarted: bool = False


def read_server_mark(connection: Connection, clock: str, local_clock: float) -> SourceMark:
    """Read everything but the relations. Must run outside a transaction, before the snapshot.

    Args:
        connection: The source.
        clock: The server's clock, just read.
        local_clock: The extractor's clock just before.
    """
    mark = SourceMark(
        system=None,
        timeline=0,
        log_position=None,
        started=str(connection.row("select pg_postmaster_start_time()::text as t")["t"]),
        clock=clock,
        local_clock=local_clock,
        boot=_BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "",
        uptime=time.clock_gettime(_STEADY_CLOCK),
        relations={},
    )
    try:
        found = connection.row(
            f"""
            select format('%s/%s', (select system_identifier from pg_control_system()),
                    (select oid from pg_database where datname = current_database())) as system,
                case when pg_is_in_recovery() then (
                    select greatest(c.timeline_id, r.min_recovery_end_timeline)
                    from pg_control_checkpoint() c, pg_control_recovery() r
                ) else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
                end as timeline,
                {_LOG_POSITION} as position
            """
        )
    except SourceError:
        # Some managed servers refuse these functions: nothing is proven then, and that is said.
        return mark
    return replace(
        mark, system=found["system"], timeline=found["timeline"], log_position=found["position"]
    )


_LOG_POSITION = """(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
    else pg_current_wal_insert_lsn() end)::text"""


def read_log_position(connection: Connection, mark: SourceMark) -> SourceMark:
    """The mark with the log's position, read inside the snapshot: at or after all it shows."""
    if mark.log_position is None:
        return mark
    found = connection.row(f"select {_LOG_POSITION} as position")
    return replace(mark, log_position=found["position"])


def read_relations(
    connection: Connection, specs: Sequence[TableSpec]
) -> dict[tuple[str, str], tuple[Relation, ...]]:
    """The relations that hold the rows of these tables, the table itself first.

    Returns:
        By schema and name; a table that does not exist is missing.
    """
    wanted = ", ".join(f"({literal(spec.schema)}, {literal(spec.relation)})" for spec in specs)
    found = connection.rows(
        f"""
        with recursive tree as (
            select c.oid, n.nspname, c.relname, 0 as depth
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where (n.nspname::text, c.relname::text) in ({wanted})
                and c.relkind in ('r', 'p', 'v', 'm', 'f')
            union
            select i.inhrelid, t.nspname, t.relname, 1 from tree t
            join pg_inherits i on i.inhparent = t.oid
        )
        select t.nspname::text as schema, t.relname::text as name, c.oid::text as oid,
            c.relkind::text as kind, coalesce(pg_relation_filenode(c.oid), 0)::text as file,
            exists(select from pg_subscription_rel s where s.srrelid = c.oid) as subscribed
        from tree t join pg_class c on c.oid = t.oid
        order by t.depth, c.oid
        """
    )
    relations: dict[tuple[str, str], tuple[Relation, ...]] = {}
    for row in found:
        name = (row["schema"], row["name"])
        relation = Relation(
            oid=row["oid"], kind=row["kind"], file=row["file"], is_subscribed=row["subscribed"]
        )
        relations[name] = (*relations.get(name, ()), relation)
    return relations


def compare(before: SourceMark | None, now: SourceMark) -> Change:
    """What happened to the source between two marks; nothing if there is no earlier one."""
    if before is None:
        return Change()
    back = _seconds_back(before, now)
    elapsed = max(0.0, now.local_clock - before.local_clock)
    was = before.relations
    return Change(
        broken=next(_breaks(before, now), None),
        added=frozenset(now.relations.keys() - was.keys()),
        rewritten=frozenset(
            # A table that was dropped and made again shares none with what it was.
            oid
            for oid, file in now.relations.items()
            if was.get(oid, file) != file or not was.keys() & now.relations.keys()
        ),
        clock_back=back,
        is_clock_back=back > _CLOCK_TOLERANCE + _CLOCK_DRIFT * elapsed,
        is_restarted=before.started != now.started,
    )


def is_behind(before: SourceMark | None, now: SourceMark) -> bool:
    """Whether the log of the same history ends before what was read."""
    if before is None or (before.system, before.timeline) != (now.system, now.timeline):
        return False
    if before.log_position is None or now.log_position is None:
        return False
    return _log_bytes(now.log_position) < _log_bytes(before.log_position)


def _breaks(before: SourceMark, now: SourceMark) -> Iterator[str]:
    if now.system != before.system:
        yield "another server or database answers than the one that was read before"
    elif now.timeline != before.timeline:
        yield (
            f"the server is on timeline {now.timeline} and was on {before.timeline}: "
            "a failover or a restored backup"
        )
    elif is_behind(before, now):
        yield (
            f"the server's log is at {now.log_position} and was at {before.log_position}: "
            "an older state was restored, or a crash lost the newest one"
        )


def _seconds_back(before: SourceMark, now: SourceMark) -> float:
    server = (_moment(now.clock) - _moment(before.clock)).total_seconds()
    if before.boot and before.boot == now.boot:
        passed = now.uptime - before.uptime
    else:
        passed = now.local_clock - before.local_clock
    return max(0.0, -server, passed - server)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _log_bytes(position: str) -> int:
    high, low = position.split("/")
    return (int(high, 16) << 32) + int(low, 16)
