"""The watermark: below which cursor a table is complete, and how sure that is.

A transaction's rows carry a cursor at or after its start when the database's clock sets it. So no
row that is still invisible lies below the start of the oldest transaction in progress, and the
watermark W = min(clock, oldest start) loses nothing. That holds only if all transactions can be
seen; otherwise W is a guess that the table's lookback makes good, and every report says so.

Here belongs computing W. Here does not belong reading rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.postgres.catalog import DATE, TIMESTAMP, TIMESTAMPTZ, SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.state import TableState
from ingest.postgres.types import identifier, typed

# A transaction takes its start time before it shows it to others: microseconds, unless its process
# is put to sleep in between on a crowded machine. A wide margin costs only that the rows of these
# seconds are read again, and dropped.
MARGIN_SECONDS = 5

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
    """

    clock: str
    read_at: datetime
    watermark: str
    doubt: str | None
    held_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBounds:
    """From where one run reads a table, and which watermark it sets.

    Attributes:
        watermark: The watermark when all is read; never below the one before.
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


def read_server_bound(connection: Connection) -> ServerBound:
    """Read W. Must run outside a transaction, right before the snapshot is taken.

    The clock is read before the sessions: a transaction that starts between the two has a start
    after the clock, and one that ends between them is visible to the snapshot.
    """
    clock = connection.row("select clock_timestamp()::text as text, clock_timestamp() as value")
    sessions = connection.row(
        f"""
        with others as (
            select pid, usename, state, xact_start from pg_stat_activity
            where datid = (select oid from pg_database where datname = current_database())
                and pid <> pg_backend_pid() and backend_type <> 'autovacuum worker'
        )
        select least(
                {typed(clock["text"], TIMESTAMPTZ)} - interval '{MARGIN_SECONDS} seconds',
                (select min(xact_start) from others),
                (select min(prepared) from pg_prepared_xacts where database = current_database()),
                pg_last_xact_replay_timestamp()
            )::text as watermark,
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
    if doubt is None and not sessions["sees_all"]:
        doubt = f"role {sessions['role']} may not see other sessions; grant it pg_read_all_stats"
    return ServerBound(
        clock=clock["text"],
        read_at=clock["value"],
        watermark=sessions["watermark"],
        doubt=doubt,
        held_by=sessions["held_by"],
    )


def read_bounds(
    connection: Connection,
    table: SourceTable,
    state: TableState,
    server: ServerBound,
    *,
    full: bool,
) -> ReadBounds:
    """Decide from where to read. Must run inside the snapshot.

    An unfinished load goes on after its last row, unless that row lies above the lower bound of
    the load's own watermark: everything from there on is read again.

    Args:
        connection: In the snapshot.
        table: What to read.
        state: How far it is landed.
        server: What the server said before the snapshot.
        full: Read everything, whatever is landed.
    """
    cursor, pg_type = identifier(table.cursor.name), table.cursor.cast_type
    base = state.load_watermark if state.resume_position else state.watermark
    lower = f"{typed(base, pg_type)}{_minus_lookback(table)}" if base and not full else "null"
    position = (state.resume_position or {}).get(table.cursor.name)
    before_lower = f"{typed(position, pg_type)} < lower" if position and base else "null"
    found = connection.row(
        f"""
        select {_next_watermark(table, state, server)}::text as watermark, lower::text as lower,
            coalesce({before_lower}, false) as after_position,
            (select count(*) from {table.sql_name} where {_is_future(table, server)}) as future,
            (select max({cursor})::text from {table.sql_name}
                where {_is_future(table, server)}) as future_example,
            {_nulls(table)} as nulls
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
        guarantee=guarantee(table, server),
    )


def guarantee(table: SourceTable, server: ServerBound) -> str:
    """How sure it is that nothing is missed: ``exact``, or the lookback and why it is needed."""
    if table.spec.clock == "application":
        doubt: str | None = "an application's clock sets the cursor"
    elif table.cursor.cast_type != TIMESTAMPTZ:
        doubt = f"the cursor is {table.cursor.pg_type}, which tells no transaction's start"
    else:
        doubt = server.doubt
    return "exact" if doubt is None else f"lookback {_effective_lookback(table)}: {doubt}"


def _effective_lookback(table: SourceTable) -> str:
    if table.cursor.cast_type == TIMESTAMP and table.spec.lookback.span < _LOCAL_TIME_LOOKBACK:
        return "2h"
    if table.cursor.cast_type == DATE:
        return f"{_days(table)}d"
    return str(table.spec.lookback)


def _days(table: SourceTable) -> int:
    """A date's lookback in whole days, rounded up, and one more for the time zone."""
    return -(-table.spec.lookback.span // timedelta(days=1)) + 1


def _minus_lookback(table: SourceTable) -> str:
    if table.cursor_is_number:
        return f" - {table.spec.lookback.units}"
    if table.cursor.cast_type == DATE:
        return f" - {_days(table)}"
    span = table.spec.lookback.span
    if table.cursor.cast_type == TIMESTAMP:
        span = max(span, _LOCAL_TIME_LOOKBACK)
    return f" - interval '{int(span.total_seconds())} seconds'"


def _next_watermark(table: SourceTable, state: TableState, server: ServerBound) -> str:
    """SQL of the watermark to set; ``greatest`` ignores the NULL of a first run."""
    pg_type, cursor = table.cursor.cast_type, identifier(table.cursor.name)
    before = typed(state.watermark, pg_type) if state.watermark else "null"
    if pg_type == TIMESTAMPTZ:
        return f"greatest({before}, {typed(server.watermark, TIMESTAMPTZ)})"
    # Such a cursor cannot be compared with the server's clock, only with its own largest value.
    largest = f"select max({cursor}) from {table.sql_name} where not ({_is_future(table, server)})"
    return f"greatest({before}, ({largest}))"


def _is_future(table: SourceTable, server: ServerBound) -> str:
    cursor, pg_type = identifier(table.cursor.name), table.cursor.cast_type
    if table.cursor_is_number:
        # Infinity and NaN sort above every number.
        return f"{cursor} > '1e1000'::numeric" if pg_type == "numeric" else "false"
    now = f"({typed(server.clock, TIMESTAMPTZ)} + {_FUTURE[pg_type]})::{pg_type}"
    return f"{cursor} > {now}"


def _nulls(table: SourceTable) -> str:
    if not table.cursor.nullable:
        return "0::bigint"
    return f"(select count(*) from {table.sql_name} where {identifier(table.cursor.name)} is null)"
