"""The watermark: below which cursor a table is complete, and how sure that is.

A transaction's rows carry a cursor at or after its start when the database's clock sets it. So no
row that is still invisible lies below the start of the oldest transaction in progress, and the
watermark W = min(clock, oldest start), less a margin, loses nothing. That holds only if all
transactions can be seen and if it is the database that sets the cursor; otherwise W is a guess that
the table's lookback makes good, and every report says so.

Here belongs computing W. Here does not belong reading rows.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.postgres.catalog import DATE, TIMESTAMP, TIMESTAMPTZ, Column, SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.identity import (
    Change,
    Relation,
    SourceMark,
    read_relations,
    read_server_mark,
)
from ingest.postgres.state import TableState
from ingest.postgres.types import identifier, typed
from ingest.sources import TableSpec

# A transaction takes its start time before it shows it to others: microseconds, unless its process
# is put to sleep in between on a crowded machine. A clock is set back by less than a second without
# anybody noticing, and timestamptz(0) rounds down by half of one. A wide margin costs only that the
# rows of these seconds are read again, and dropped.
MARGIN_SECONDS = 5

_NOT_PROVABLE = {
    "v": "it is a view, whose rows can change without their cursor",
    "m": "it is a materialized view, whose rows appear when it is refreshed",
    "f": "it is a foreign table, and the transactions of its server are not seen",
}
_SECONDS_A_DAY = 86_400

# Local clocks go back by an hour once a year; rows of the repeated hour lie below the watermark.
_LOCAL_TIME_LOOKBACK = timedelta(hours=2)
# The easternmost local time is UTC+14: beyond that even a local timestamp lies in the future.
_FUTURE = {
    TIMESTAMPTZ: "interval '1 minute'",
    TIMESTAMP: "interval '14 hours'",
    DATE: "interval '1 day'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBound:
    """What the server said just before the snapshot.

    Attributes:
        clock: The server's clock, exact text.
        read_at: The same as a Python value (UTC).
        watermark: W for cursors that the database's clock sets, exact text.
        doubt: Why W is not exact; None if it is.
        held_by: The session whose old transaction holds W back by minutes; None if there is none.
        is_standby: Whether it replays another server's log.
        mark: Which server it is, and where in its history.
        relations: Those that hold the rows of each table of the run, by schema and name.
    """

    clock: str
    read_at: datetime
    watermark: str
    doubt: str | None
    held_by: str | None
    is_standby: bool
    mark: SourceMark
    relations: Mapping[tuple[str, str], tuple[Relation, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBounds:
    """From where one run reads a table, and which watermark it sets.

    Attributes:
        watermark: The watermark when all is read; below the one before only if that is void.
        lower: Rows at or above it are read; None means all.
        after_position: Read after the unfinished load's position: it lies below ``lower``.
        future: Rows whose cursor lies in the future.
        future_example: The exact text of the largest such cursor.
        nulls: Rows whose cursor is NULL.
        guarantee: ``exact``, or the lookback and why it is needed.
    """

    watermark: str | None
    lower: str | None
    after_position: bool
    future: int
    future_example: str | None
    nulls: int
    guarantee: str


def read_server_bound(connection: Connection, specs: Sequence[TableSpec]) -> ServerBound:
    """Read W. Must run outside a transaction, right before the snapshot is taken.

    The relations come first: one that is truncated before the snapshot is then found out later. The
    clock is read before the sessions: a transaction that starts between the two has a start
    after the clock, and one that ends between them is visible to the snapshot.
    """
    relations = read_relations(connection, specs) if specs else {}
    local_clock = time.time()
    clock = connection.row("select clock_timestamp()::text as text, clock_timestamp() as value")
    sessions = connection.row(
        f"""
        with others as (
            select pid, usename, state, xact_start from pg_stat_activity
            where datid = (select oid from pg_database where datname = current_database())
                and pid <> pg_backend_pid() and backend_type <> 'autovacuum worker'
        )
        select (least(
                {typed(clock["text"], TIMESTAMPTZ)},
                (select min(xact_start) from others),
                (select min(prepared) from pg_prepared_xacts where database = current_database()),
                -- After a failover this time stays what it was.
                case when pg_is_in_recovery() then pg_last_xact_replay_timestamp() end
            ) - interval '{MARGIN_SECONDS} seconds')::text as watermark,
            pg_is_in_recovery() as standby,
            pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_all,
            exists(select from pg_prepared_xacts where database = current_database()) as prepared,
            exists(select from others where state = 'disabled')
                or not current_setting('track_activities')::bool as hidden,
            current_user::text as role,
            (select format('session %s of %s (%s, transaction open since %s UTC)', pid, usename,
                    state, to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS'))
                from others where xact_start < clock_timestamp() - interval '10 minutes'
                order by xact_start limit 1) as held_by
        """
    )
    doubts = {
        "standby": "the server is a standby",
        "prepared": "there are prepared transactions",
        "hidden": "track_activities is off, so open transactions do not show",
    }
    doubt = next((reason for name, reason in doubts.items() if sessions[name]), None)
    mark = read_server_mark(connection, clock["text"], local_clock)
    if doubt is None and mark.system is None:
        doubt = "the server does not tell which one it is, so another one would not be noticed"
    if doubt is None and not sessions["sees_all"]:
        doubt = f"role {sessions['role']} may not see other sessions; grant it pg_read_all_stats"
    return ServerBound(
        clock=clock["text"],
        read_at=clock["value"],
        watermark=sessions["watermark"],
        doubt=doubt,
        held_by=sessions["held_by"],
        is_standby=sessions["standby"],
        mark=mark,
        relations=relations,
    )


def read_bounds(
    connection: Connection,
    table: SourceTable,
    state: TableState,
    server: ServerBound,
    change: Change,
    *,
    full: bool,
) -> ReadBounds:
    """Decide from where to read. Must run inside the snapshot.

    An unfinished load goes on after its last row, unless that row lies above the lower bound of
    the load's own watermark: everything from there on is read again. Where the server's clock went
    back, rows written since can have a cursor that is lower by as much.

    Args:
        connection: In the snapshot.
        table: What to read.
        state: How far it is landed.
        server: What the server said before the snapshot.
        change: How the source differs from the one of the last commit.
        full: Read everything, whatever is landed.
    """
    if table.cursor is None:
        return ReadBounds(
            watermark=None,
            lower=None,
            after_position=state.resume_position is not None and not full,
            future=0,
            future_example=None,
            nulls=0,
            guarantee=guarantee(table, server, change),
        )
    cursor, pg_type = f"src.{identifier(table.cursor.name)}", table.cursor.cast_type
    base = state.load_watermark if state.resume_position else state.watermark
    lower = _lower(table, pg_type, base, server, change) if base and not full else "null"
    position = (state.resume_position or {}).get(table.cursor.name)
    before_lower = f"{typed(position, pg_type)} < lower" if position and base else "null"
    found = connection.row(
        f"""
        select {_next_watermark(table, table.cursor, state, server, change)}::text as watermark,
            lower::text as lower, coalesce({before_lower}, false) as after_position,
            (select count(*) from {table.sql_name} as src where {_is_future(table.cursor, server)})
                as future,
            (select max({cursor})::text from {table.sql_name} as src
                where {_is_future(table.cursor, server)}) as future_example,
            {_nulls(table, table.cursor)} as nulls
        from (select ({lower})::{pg_type} as lower) as bound
        """
    )
    return ReadBounds(
        watermark=found["watermark"],
        lower=found["lower"],
        after_position=found["after_position"] and not full,
        future=found["future"],
        future_example=found["future_example"],
        nulls=found["nulls"],
        guarantee=guarantee(table, server, change),
    )


def guarantee(table: SourceTable, server: ServerBound, change: Change) -> str:
    """How sure it is that nothing is missed: ``exact``, or the lookback and why it is needed.

    Where every run reads all rows it is ``full``.
    """
    if table.cursor is None:
        return "full: every run reads all rows"
    doubt = next(_doubts(table, table.cursor, server, change), None)
    if doubt is None:
        return "exact"
    return f"lookback {_effective_lookback(table, table.cursor.cast_type)}: {doubt}"


def _doubts(
    table: SourceTable, cursor: Column, server: ServerBound, change: Change
) -> Iterator[str]:
    """Why the watermark is not exact, the most telling reason first."""
    if change.broken:
        yield change.broken
    if change.is_clock_back:
        yield f"the server's clock went back by {change.clock_back:,.0f} s since the last commit"
    if change.rewritten:
        yield "rows were truncated or rewritten at the source since the last run"
    for relation in table.relations:
        if relation.kind in _NOT_PROVABLE:
            yield _NOT_PROVABLE[relation.kind]
        if relation.is_subscribed:
            yield "logical replication fills it, with the cursors of another server"
    if table.spec.clock is None:
        yield (
            f"nothing says who sets {cursor.name}; if it is the database's clock, declare "
            "`clock: database`"
        )
    if table.spec.clock == "application":
        yield "an application's clock sets the cursor"
    if cursor.cast_type != TIMESTAMPTZ:
        yield f"the cursor is {cursor.pg_type}, which tells no transaction's start"
    if table.spec.null_cursor == "exclude" and cursor.nullable:
        yield f"rows without {cursor.name} are excluded, until it is filled"
    if server.doubt:
        yield server.doubt


def _effective_lookback(table: SourceTable, pg_type: str) -> str:
    if pg_type == TIMESTAMP and table.spec.lookback.span < _LOCAL_TIME_LOOKBACK:
        return "2h"
    return f"{_days(table)}d" if pg_type == DATE else str(table.spec.lookback)


def _days(table: SourceTable) -> int:
    """A date's lookback in whole days, rounded up, and one more for the time zone."""
    return -(-table.spec.lookback.span // timedelta(days=1)) + 1


def _lower(table: SourceTable, pg_type: str, base: str, server: ServerBound, change: Change) -> str:
    """SQL of the lowest cursor to read, from the watermark that is in force."""
    lower = typed(base, pg_type)
    if table.cursor_is_number:
        return f"{lower} - {table.spec.lookback.units}"
    back = math.ceil(change.clock_back)
    if pg_type == DATE:
        return f"{lower} - {_days(table) + -(-back // _SECONDS_A_DAY)}"
    span = table.spec.lookback.span
    if pg_type == TIMESTAMP:
        span = max(span, _LOCAL_TIME_LOOKBACK)
    else:
        lower = f"least({lower}, {typed(server.watermark, TIMESTAMPTZ)})"
    return f"{lower} - interval '{int(span.total_seconds()) + back} seconds'"


def _next_watermark(
    table: SourceTable, column: Column, state: TableState, server: ServerBound, change: Change
) -> str:
    """SQL of the watermark to set; ``greatest`` ignores the NULL of a first run."""
    pg_type, cursor = column.cast_type, f"src.{identifier(column.name)}"
    is_void = change.broken or change.is_clock_back or state.watermark is None
    before = "null" if is_void else typed(state.watermark or "", pg_type)
    if pg_type == TIMESTAMPTZ:
        return f"greatest({before}, {typed(server.watermark, TIMESTAMPTZ)})"
    # Such a cursor cannot be compared with the server's clock, only with its own largest value.
    future = _is_future(column, server)
    largest = f"select max({cursor}) from {table.sql_name} as src where not ({future})"
    return f"greatest({before}, ({largest}))"


def _is_future(column: Column, server: ServerBound) -> str:
    cursor, pg_type = f"src.{identifier(column.name)}", column.cast_type
    if pg_type not in _FUTURE:
        # Infinity and NaN sort above every number.
        return f"{cursor} > '1e1000'::numeric" if pg_type == "numeric" else "false"
    now = f"({typed(server.clock, TIMESTAMPTZ)} + {_FUTURE[pg_type]})::{pg_type}"
    return f"{cursor} > {now}"


def _nulls(table: SourceTable, column: Column) -> str:
    if not column.nullable:
        return "0::bigint"
    cursor = f"src.{identifier(column.name)}"
    return f"(select count(*) from {table.sql_name} as src where {cursor} is null)"
