"""What one run reads of a table, what its commits will say, and what a person should know.

Everything here is decided from what is known already: the table as it is, where it stands, the
bounds of the snapshot. Here does not belong asking the database or raw, or writing anything.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from ingest.postgres.catalog import SourceTable
from ingest.postgres.identity import Change, SourceMark
from ingest.postgres.read import Chunk, Part
from ingest.postgres.report import SourceError
from ingest.postgres.state import LOAD_WATERMARK, SOURCE, Position, TableState
from ingest.postgres.watermark import ReadBounds, ServerBound
from lakehouse.raw import META_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One pass over a table.

    Attributes:
        table: The table as it is now.
        bounds: From where it is read, and the watermark when all is.
        parts: What is read, in this order.
        is_full: Whether all rows are read, whatever is landed.
        landed: The commits in which a row may be already: those before this pass.
        read_at: When the rows were seen (UTC): the clock of the snapshot.
        mark: What is read.
    """

    table: SourceTable
    bounds: ReadBounds
    parts: tuple[Part, ...]
    is_full: bool
    landed: frozenset[str]
    read_at: datetime
    mark: SourceMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What a commit's footer says about the table.

    Attributes:
        kind: See ``CommitInfo``.
        watermark: The watermark after the commit.
        resume_position: Where an unfinished load goes on, column to exact text; None if finished.
        details: For the footer's details.
    """

    kind: str
    watermark: str | None
    resume_position: dict[str, str] | None
    details: dict[str, Any]


def make_plan(
    table: SourceTable,
    state: TableState,
    bounds: ReadBounds,
    server: ServerBound,
    chunk_rows: int,
    *,
    full: bool,
    anew: frozenset[str] = frozenset(),
) -> Plan:
    """Decide what is read.

    Args:
        table: The table as it is now.
        state: Where it stands.
        bounds: What holds for the snapshot.
        server: What the server said before the snapshot.
        chunk_rows: Most rows in one commit of a read that has more.
        full: Read everything.
        anew: OIDs of the partitions that are read whatever the cursor.

    Raises:
        SourceError: Rows have no cursor, which is declared to be an error.
    """
    spec = table.spec
    if bounds.nulls and spec.null_cursor == "raise":
        raise SourceError(
            f"{bounds.nulls:,} rows of {spec.schema}.{spec.name} have no {spec.cursor}",
            "set it at the source, or choose `null_cursor: include` in ingest/sources.yml",
        )
    start: str | Position | None = None if full else bounds.lower
    if not full and bounds.after_position and (at := state.resume_position):
        start = Position(at[table.cursor.name], tuple(at[name] for name in table.key_names))
    # First, so that no commit says that all is read before they are.
    parts = [Part(only=f"src.tableoid in ({', '.join(sorted(anew))})")] if anew else []
    parts.append(Part(start=start, limit=chunk_rows))
    if bounds.nulls and spec.null_cursor == "include":
        parts.append(Part(without_cursor=True))
    # Readers order versions by this time: it must not go back when the server's clock does.
    earliest = state.last.extracted_at if state.last else server.read_at
    return Plan(
        table=table,
        bounds=bounds,
        parts=tuple(parts),
        is_full=full,
        landed=frozenset(state.batch_ids),
        read_at=max(server.read_at, earliest),
        mark=mark_of(table, server),
    )


def mark_of(table: SourceTable, server: ServerBound) -> SourceMark:
    """What is read of a table in this snapshot."""
    return replace(server.mark, relations={r.oid: r.file for r in table.relations})


def plan_everything(plan: Plan, state: TableState) -> Plan:
    """Another pass of the same run, over all rows.

    Args:
        plan: The pass before.
        state: Where the table stands after it.
    """
    parts = tuple(replace(part, start=None) for part in plan.parts if part.only is None)
    return replace(plan, parts=parts, is_full=True, landed=frozenset(state.batch_ids))


def plan_rows(plan: Plan, state: TableState, conditions: Iterable[str]) -> Plan:
    """Another pass of the same run, over some rows.

    Args:
        plan: The pass before.
        state: Where the table stands after it.
        conditions: SQL; each holds for some of them.
    """
    parts = tuple(Part(only=condition) for condition in conditions)
    return replace(plan, parts=parts, is_full=False, landed=frozenset(state.batch_ids))


def rows_footer(plan: Plan, state: TableState, part: Part, chunk: Chunk, rows: int) -> Footer:
    """What the commit of a chunk says.

    Args:
        plan: The pass.
        state: Where the table stands before the commit.
        part: What was read.
        chunk: Its chunk, read to the end.
        rows: How many rows of it are new.
    """
    nulls = 0 if part.in_order else rows
    details = {**_details(plan), "null_cursors": nulls, "rows_read": chunk.rows_read}
    kept = {
        LOAD_WATERMARK: state.load_watermark,
        SOURCE: state.source.to_dict() if state.source else None,
    }
    if part.only is not None:
        # Some rows beside the watermark say nothing about the others: all stays as it was.
        return Footer(
            kind="incremental",
            watermark=state.watermark,
            resume_position=state.resume_position,
            details={**details, **kept},
        )
    if chunk.end is None:
        is_first = state.watermark is None and part.in_order
        kind = "snapshot" if is_first else "incremental"
        return Footer(
            kind=kind, watermark=plan.bounds.watermark, resume_position=None, details=details
        )
    if plan.is_full and state.watermark is not None:
        # A full read beside the watermark proves nothing before its end.
        return Footer(
            kind="chunk",
            watermark=state.watermark,
            resume_position=state.resume_position,
            details={**details, **kept},
        )
    key = dict(zip(plan.table.key_names, chunk.end.key, strict=True))
    return Footer(
        kind="chunk",
        watermark=state.watermark,
        resume_position={plan.table.cursor.name: chunk.end.cursor, **key},
        details={**details, LOAD_WATERMARK: plan.bounds.watermark},
    )


def tombstones_footer(plan: Plan) -> Footer:
    """What the commit of tombstones says: it comes when all is read."""
    return Footer(
        kind="tombstones",
        watermark=plan.bounds.watermark,
        resume_position=None,
        details=_details(plan),
    )


def read_anew(table: SourceTable, change: Change) -> tuple[bool, frozenset[str]]:
    """What has to be read whatever its cursor, because what was read before proves nothing.

    Returns:
        Whether that is everything; else the OIDs of the partitions.
    """
    touched = change.added | change.rewritten
    holding = frozenset(r.oid for r in table.relations if r.kind != "p")
    if change.broken or (touched and holding <= touched):
        return True, frozenset()
    return False, touched & holding


def warnings(
    plan: Plan, state: TableState, server: ServerBound, change: Change, anew: frozenset[str]
) -> Iterator[str]:
    """Sentences about the table and its pass that a person should read."""
    spec, bounds = plan.table.spec, plan.bounds
    if change.broken:
        yield f"{change.broken}: all of it is read again"
    elif change.rewritten and not anew:
        yield (
            "the table was dropped, truncated or rewritten at the source since the last run: "
            "all of it is read again"
        )
    elif anew:
        yield (
            f"{len(anew)} partitions were added, truncated or rewritten at the source since the "
            "last run: all their rows are read"
        )
    if change.is_clock_back:
        yield (
            f"the server's clock went back by {change.clock_back:,.0f} s: rows are read again from "
            "so far below the watermark, which follows the clock"
        )
    if bounds.nulls:
        done = "left out" if spec.null_cursor == "exclude" else "landed"
        yield f"{bounds.nulls:,} rows have no {spec.cursor}: {done}"
    if bounds.future:
        yield (
            f"{bounds.future:,} rows have a {spec.cursor} in the future, up to "
            f"{bounds.future_example}: landed, and the watermark stays below them"
        )
    if not plan.table.cursor_indexed:
        yield f"no index begins with {spec.cursor}: every run reads the whole table"
    if state.is_broken:
        yield "commits are missing in the middle: reading again from the watermark before them"
    if server.held_by:
        yield f"the watermark is held back by {server.held_by}"


def drift(table: SourceTable, state: TableState, landed: Sequence[pa.Schema]) -> list[str]:
    """What becomes of a table whose columns changed since it was landed.

    A new column is landed from now on, a dropped one no longer, and both are said. A column whose
    type changed stops the table: one Arrow type for a column, for ever.

    Args:
        table: As it is now.
        state: Where it stands.
        landed: The schemas of its commits, the newest commit's last.

    Returns:
        A sentence for each change since the newest commit.

    Raises:
        SourceError: A column has another type than it once was landed with.
    """
    for schema in landed:
        _refuse_retyped(table, schema, state)
    before, now = set(landed[-1].names), table.schema.names
    return [
        *(
            f"new column {name}: landed from now on; `lake extract {table.spec.name} --full` lands "
            "its values in older rows too"
            for name in now
            if name not in before
        ),
        *(
            f"column {name} is gone from {table.spec.label}: not landed any more"
            for name in before.difference(now)
        ),
    ]


def _refuse_retyped(table: SourceTable, landed: pa.Schema, state: TableState) -> None:
    meta = {field.name for field in META_FIELDS}
    before = (state.last.details.get("source_types") or {}) if state.last else {}
    for column in table.columns:
        place = landed.get_field_index(column.name)
        if column.name in meta or place < 0 or landed.field(place).type == column.type.arrow:
            continue
        was, now = before.get(column.name, column.pg_type), column.pg_type
        if was == now:
            was, now = str(landed.field(place).type), str(column.type.arrow)
        raise SourceError(
            f"column {column.name} of {table.spec.schema}.{table.spec.name} was {was} and is now "
            f"{now}; a landed column keeps its type, so nothing was read",
            f"change the type back, or move data/raw/{table.spec.source}/{table.spec.name} away "
            f"and run `lake extract {table.spec.name}` to land the table anew",
        )


def _details(plan: Plan) -> dict[str, Any]:
    return {
        "guarantee": plan.bounds.guarantee,
        "lookback": str(plan.table.spec.lookback),
        SOURCE: plan.mark.to_dict(),
    }
