"""Where a table stands, told to a person, and moved by one.

The watermark is what the newest commit says. So moving it is a commit, too: one without rows, which
stays in the log beside the others. Here belong telling, foretelling and moving. Here does not
belong reading rows: the next extraction does that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from ingest.postgres.catalog import SourceTable, read_table
from ingest.postgres.commit import WRITER
from ingest.postgres.connection import Connection
from ingest.postgres.extract import lock_path
from ingest.postgres.read import column_sql, from_sql
from ingest.postgres.report import SourceError
from ingest.postgres.state import FOLLOWS, SOURCE, SOURCE_TYPES, TableState, derive_state
from ingest.postgres.types import literal, typed
from ingest.postgres.watermark import read_server_bound
from ingest.sources import TableSpec
from lakehouse.locks import file_lock
from lakehouse.raw import CommitInfo, CommitWriter, RawTable, new_batch_id, raw_schema
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one table stands, as its commits tell.

    Attributes:
        source: Name of the source.
        table: Name of the table.
        cursor: Its cursor; None if every run reads all rows.
        watermark: Exact cursor text below which raw is complete; None before the first load has
            ended, or without a cursor.
        lookback: How far below it the next run begins.
        guarantee: How sure that is, as the newest commit says.
        resume_position: Where an unfinished load goes on, column to exact text; else None.
        commits: How many there are.
        rows: Rows in them.
        extracted_at: Clock of the newest commit's snapshot (UTC); None without a commit.
        missing_commits: Whether commits in the middle are missing, so that the next run begins
            before them.
        server: The server that was read: system identifier and database, and its timeline.
    """

    source: str
    table: str
    cursor: str | None
    watermark: str | None
    lookback: str
    guarantee: str | None
    resume_position: dict[str, str] | None
    commits: int
    rows: int
    extracted_at: datetime | None
    missing_commits: bool
    server: str | None

    def sentences(self) -> Iterator[str]:
        """What that means, and what the next run does."""
        if not self.commits:
            yield "nothing is landed yet; the next run reads all rows"
            return
        if self.missing_commits:
            yield "commits in the middle are missing; the next run begins before them"
        if self.resume_position is not None:
            at = ", ".join(f"{name} = {text}" for name, text in self.resume_position.items())
            yield f"a load is unfinished; the next run goes on after {at}"
        elif self.cursor is None:
            yield "every run reads all rows and lands those that differ"
        elif self.watermark is None:
            yield "no row had a cursor; the next run reads all rows"
        else:
            yield f"complete below {self.cursor} = {self.watermark}"
            yield f"the next run reads again from {self.lookback} below that"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What moving a watermark would do.

    Attributes:
        spec: The table.
        now: The watermark; None if there is none.
        then: What it would be, PostgreSQL's exact text.
        rows: Rows in the source whose cursor lies between the two.
        is_forward: Whether it would rise.
    """

    spec: TableSpec
    now: str
    then: str
    rows: int
    is_forward: bool

    def sentences(self) -> Iterator[str]:
        """What would happen, for a person who is about to decide."""
        yield f"{self.spec.label}: the watermark moves from {self.now} to {self.then}"
        if self.is_forward:
            yield (
                f"{self.rows:,} rows of the source lie between: changes in them that are not "
                "landed yet are skipped for good; `lake reconcile` would find them"
            )
        else:
            yield (
                f"the next run reads {self.rows:,} rows again and lands those that differ; "
                "nothing is landed twice and nothing is removed"
            )


def standing(settings: Settings, spec: TableSpec) -> Standing:
    """Tell where a table stands, without asking the source.

    Raises:
        RawFileError: A commit is damaged.
    """
    raw = RawTable(settings.raw_dir, spec.source, spec.name)
    state, infos = derive_state(raw), raw.infos()
    mark = state.source
    return Standing(
        source=spec.source,
        table=spec.name,
        cursor=spec.cursor,
        watermark=state.watermark,
        lookback=str(spec.lookback),
        guarantee=state.last.details.get("guarantee") if state.last else None,
        resume_position=state.resume_position,
        commits=len(infos),
        rows=sum(info.rows for info in infos),
        extracted_at=infos[-1].extracted_at if infos else None,
        missing_commits=state.is_broken,
        server=f"{mark.system}, timeline {mark.timeline}" if mark else None,
    )


def watermark_before(settings: Settings, spec: TableSpec, commits: int) -> str:
    """The watermark as it was before the newest commits.

    Args:
        settings: The project.
        spec: The table.
        commits: How many.

    Raises:
        SourceError: There are not so many, or there was no watermark yet.
    """
    infos = RawTable(settings.raw_dir, spec.source, spec.name).infos()
    before = infos[-commits].watermark_before if 0 < commits <= len(infos) else None
    if before is None:
        raise SourceError(
            f"{spec.label} had no watermark {commits} commits ago; it has {len(infos)} commits",
            f"name a smaller number, or run `lake extract {spec.name} --full`",
        )
    return before


def foretell(settings: Settings, dsn: str, spec: TableSpec, to: str) -> Move:
    """Say what moving a watermark would do.

    Args:
        settings: The project.
        dsn: The source.
        spec: The table.
        to: The new watermark, in any form that PostgreSQL reads as the cursor's type.

    Raises:
        SourceError: The table has no watermark, or ``to`` is none.
    """
    state = derive_state(RawTable(settings.raw_dir, spec.source, spec.name))
    with _opened(dsn, spec) as (connection, table):
        cursor = table.cursor
        if cursor is None or state.watermark is None or state.resume_position is not None:
            raise SourceError(
                f"{spec.label} has no watermark that could be moved",
                f"run `lake extract {spec.name}`, or with --full to read all rows again",
            )
        now, then = (typed(text, cursor.cast_type) for text in (state.watermark, to))
        column = column_sql(cursor)
        found = connection.row(
            f"""
            select {then}::text as moved, {then} > {now} as is_forward,
                (select count(*) from {from_sql(table)}
                    where {column} >= least({now}, {then}) and {column} < greatest({now}, {then}))
                as rows
            """
        )
    return Move(
        spec=spec,
        now=state.watermark,
        then=found["moved"],
        rows=found["rows"],
        is_forward=found["is_forward"],
    )


def move(settings: Settings, step: Move) -> CommitInfo:
    """Move the watermark, by a commit without rows.

    Raises:
        LockHeldError: The table is being extracted.
        SourceError: It has been extracted since the move was foretold.
    """
    spec = step.spec
    raw = RawTable(settings.raw_dir, spec.source, spec.name)
    with file_lock(lock_path(settings, spec), purpose=f"lake state {spec.label}", wait=False):
        state = derive_state(raw)
        if state.last is None or state.watermark != step.now:
            raise SourceError(
                f"{spec.label} was extracted meanwhile: its watermark is {state.watermark}",
                "run the same command again to see what it would do now",
            )
        return _commit_without_rows(raw, state, state.last, step)


def range_condition(dsn: str, spec: TableSpec, first: str, beyond: str) -> tuple[str, int]:
    """SQL condition of the rows with a cursor in a range, and how many there are.

    Args:
        dsn: The source.
        spec: The table.
        first: The smallest cursor, in any form that PostgreSQL reads as its type.
        beyond: The smallest one that is not read any more.

    Raises:
        SourceError: The table has no cursor, or these are none.
    """
    with _opened(dsn, spec) as (connection, table):
        if table.cursor is None:
            raise SourceError(
                f"{spec.label} has no cursor, so there is no range to read again",
                f"run `lake extract {spec.name}`: every run reads all rows",
            )
        column, pg_type = column_sql(table.cursor), table.cursor.cast_type
        condition = (
            f"{column} >= {literal(first)}::{pg_type} and {column} < {literal(beyond)}::{pg_type}"
        )
        found = connection.row(f"select count(*) as n from {from_sql(table)} where {condition}")
    return condition, int(found["n"])


def _commit_without_rows(
    raw: RawTable, state: TableState, last: CommitInfo, step: Move
) -> CommitInfo:
    details = {name: last.details.get(name) for name in (SOURCE, SOURCE_TYPES, "guarantee")}
    with CommitWriter(raw, raw_schema(pa.schema([])), new_batch_id(state.newest)) as writer:
        return writer.commit(
            kind="state",
            writer=WRITER,
            extracted_at=max(datetime.now(UTC), last.extracted_at),
            upserts=0,
            watermark_before=step.now,
            watermark_after=step.then,
            details={**details, FOLLOWS: state.digest, "null_cursors": 0},
        )


@contextmanager
def _opened(dsn: str, spec: TableSpec) -> Iterator[tuple[Connection, SourceTable]]:
    with Connection(dsn) as connection:
        server = read_server_bound(connection, [spec])
        relations = server.relations.get((spec.schema, spec.relation), ())
        yield connection, read_table(connection, spec, relations)
