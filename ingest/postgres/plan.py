"""What one run reads of a table, what its commits will say, and what a person should know.

Everything here is decided from what is known already: the table as it is, where it stands, the
bounds of the snapshot. Here does not belong asking the database or raw, or writing anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ingest.postgres.catalog import SourceTable
from ingest.postgres.identity import Change, SourceMark
from ingest.postgres.read import Chunk, Part
from ingest.postgres.report import SourceError
from ingest.postgres.state import LOAD_WATERMARK, SOURCE, SOURCE_TYPES, Position, TableState
from ingest.postgres.types import column_type, widens
from ingest.postgres.watermark import ReadBounds, ServerBound

BLOCK = "ctid"
"""Key in a resume position: the block at which a load goes on. No column can be called so."""

_ROWS_A_BLOCK = 100
_FEWEST_BLOCKS = 20


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
        chunk_rows: Most rows in one commit of a read that has more.
    """

    table: SourceTable
    bounds: ReadBounds
    parts: tuple[Part, ...]
    is_full: bool
    landed: frozenset[str]
    read_at: datetime
    mark: SourceMark
    chunk_rows: int


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
            f"{bounds.nulls:,} rows of {spec.origin} have no {spec.cursor}",
            "set it at the source, or choose `null_cursor: include` in ingest/sources.yml",
        )
    parts = _parts(table, state, bounds, chunk_rows, full=full, anew=anew)
    # Readers order versions by this time: it must not go back when the server's clock does.
    earliest = state.last.extracted_at if state.last else server.read_at
    return Plan(
        table=table,
        bounds=bounds,
        parts=tuple(parts),
        is_full=full or (table.cursor is None and state.is_loaded),
        landed=frozenset(state.batch_ids),
        read_at=max(server.read_at, earliest),
        mark=mark_of(table, server),
        chunk_rows=chunk_rows,
    )


def _parts(
    table: SourceTable,
    state: TableState,
    bounds: ReadBounds,
    chunk_rows: int,
    *,
    full: bool,
    anew: frozenset[str],
) -> list[Part]:
    """What is read, in this order."""
    spec = table.spec
    start: str | Position | None = None if full else bounds.lower
    at = state.resume_position if not full else None
    without_cursor = (
        [Part(without_cursor=True)] if bounds.nulls and spec.null_cursor == "include" else []
    )
    blocks = _blocks_a_chunk(table, chunk_rows)
    if at and BLOCK in at:
        # What has moved to the blocks already read has a cursor that the new bound includes.
        moved = [Part(start=start, limit=chunk_rows)] if table.cursor else []
        rest = _in_blocks(table, int(at[BLOCK]), blocks or 1, bounds.lower)
        return [*moved, *without_cursor, *rest]
    if blocks and not state.is_loaded and not at:
        return _in_blocks(table, 0, blocks, None)
    if at and bounds.after_position:
        cursor = at[table.cursor.name] if table.cursor else None
        start = Position(cursor, tuple(at[name] for name in table.key_names))
    # Partitions first, so that no commit says that all is read before they are.
    partitions = [Part(only=f"src.tableoid in ({', '.join(sorted(anew))})")] if anew else []
    return [*partitions, Part(start=start, limit=chunk_rows), *without_cursor]


def _blocks_a_chunk(table: SourceTable, chunk_rows: int) -> int | None:
    """How many blocks of a table hold about so many rows.

    None if it cannot be read so, or so few that a chunk would not have about so many rows.
    """
    if not table.blocks:
        return None
    rows = (table.rows_estimate or table.blocks * _ROWS_A_BLOCK) / table.blocks
    blocks = int(chunk_rows / max(rows, 1.0))
    return blocks if blocks >= _FEWEST_BLOCKS else None


def _in_blocks(table: SourceTable, first: int, step: int, below: str | None) -> list[Part]:
    """The parts that read a table from a block to its end."""
    starts = [*range(first, max(first + 1, table.blocks or 0), step)]
    ends = [*starts[1:], None]
    return [Part(blocks=pair, below=below) for pair in zip(starts, ends, strict=True)]


def mark_of(table: SourceTable, server: ServerBound) -> SourceMark:
    """What is read of a table in this snapshot."""
    return replace(server.mark, relations={r.oid: r.file for r in table.relations})


def plan_everything(plan: Plan, state: TableState) -> Plan:
    """Another pass of the same run, over all rows.

    Args:
        plan: The pass before.
        state: Where the table stands after it.
    """
    parts = tuple(
        replace(part, start=None) for part in plan.parts if part.only is None and not part.blocks
    ) or (Part(limit=plan.chunk_rows),)
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


def rows_footer(
    plan: Plan, state: TableState, part: Part, chunk: Chunk, rows: int, nulls_landed: int
) -> Footer:
    """What the commit of a chunk says.

    Args:
        plan: The pass.
        state: Where the table stands before the commit.
        part: What was read.
        chunk: Its chunk, read to the end.
        rows: How many rows of it are new.
        nulls_landed: How many of these have no cursor, as far as that was counted.
    """
    nulls = nulls_landed if part.blocks else 0 if part.in_order else rows
    details = {**_details(plan), "null_cursors": nulls, "rows_read": chunk.rows_read}
    kept = {
        LOAD_WATERMARK: state.load_watermark,
        SOURCE: state.source.to_dict() if state.source else None,
        SOURCE_TYPES: state.source_types,
    }
    if part.only is not None:
        # Some rows beside the watermark say nothing about the others: all stays as it was.
        return Footer(
            kind="incremental",
            watermark=state.watermark,
            resume_position=state.resume_position,
            details={**details, **kept},
        )
    if part.blocks is not None and part is not plan.parts[-1]:
        load_watermark = state.load_watermark if state.resume_position else plan.bounds.watermark
        return Footer(
            kind="chunk",
            watermark=state.watermark,
            resume_position={BLOCK: str(part.blocks[1])},
            details={**details, LOAD_WATERMARK: load_watermark},
        )
    if state.resume_position and BLOCK in state.resume_position and part is not plan.parts[-1]:
        # Beside the blocks that are still to be read.
        return Footer(
            kind="incremental",
            watermark=state.watermark,
            resume_position=state.resume_position,
            details={**details, **kept},
        )
    if chunk.end is None:
        is_first = not state.is_loaded and not part.without_cursor
        kind = "snapshot" if is_first else "incremental"
        return Footer(
            kind=kind, watermark=plan.bounds.watermark, resume_position=None, details=details
        )
    if plan.is_full and state.is_loaded:
        # A full read beside the watermark proves nothing before its end.
        return Footer(
            kind="chunk",
            watermark=state.watermark,
            resume_position=state.resume_position,
            details={**details, **kept},
        )
    at = dict(zip(plan.table.key_names, chunk.end.key, strict=True))
    if plan.table.cursor and chunk.end.cursor is not None:
        at[plan.table.cursor.name] = chunk.end.cursor
    return Footer(
        kind="chunk",
        watermark=state.watermark,
        resume_position=at,
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
    if not plan.table.has_key and spec.cursor:
        yield f"nothing identifies a row: every run reads all rows, and {spec.cursor} is not used"
    if not plan.table.cursor_indexed:
        yield f"no index begins with {spec.cursor}: every run reads the whole table"
    if state.is_broken:
        yield "commits are missing in the middle: reading again from the watermark before them"
    if server.held_by:
        yield f"the watermark is held back by {server.held_by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the columns differ from those that are landed with all their history.

    Attributes:
        sentences: One for each change.
        needs_history: Whether old rows have to be read again: for a column's values in them, or in
            its new type.
    """

    sentences: tuple[str, ...] = ()
    needs_history: bool = False


def drift(table: SourceTable, before: Mapping[str, str] | None) -> Drift:
    """What becomes of a table whose columns have changed.

    Args:
        table: As it is now.
        before: The types of the columns that are landed; None before the first commit.

    Raises:
        SourceError: ``schema_drift`` is ``freeze``, and something has changed.
    """
    now = table.source_types
    if before is None or before == now:
        return Drift()
    added = [name for name in now if name not in before]
    gone = [name for name in before if name not in now]
    retyped = [name for name in now if before.get(name, now[name]) != now[name]]
    spec = table.spec
    if spec.schema_drift == "freeze":
        changes = [
            *(f"{name} is new" for name in added),
            *(f"{name} is gone" for name in gone),
            *(f"{name} was {before[name]} and is now {now[name]}" for name in retyped),
        ]
        raise SourceError(
            f"the columns of {spec.origin} have changed ({', '.join(changes)}) and "
            "`schema_drift: freeze` is declared, so nothing was read",
            f"change them back, or declare `schema_drift: evolve` for {spec.name} in "
            "ingest/sources.yml",
        )
    remade = [name for name in retyped if not _holds(before[name], now[name])]
    return Drift(
        sentences=(
            *(f"new column {name}: landed, in older rows too" for name in added),
            *(f"column {name} is gone from {spec.label}: not landed any more" for name in gone),
            *(
                f"column {name} was {before[name]} and is now {now[name]}: "
                + ("all rows are landed again" if name in remade else "older rows stay as they are")
                for name in retyped
            ),
        ),
        needs_history=bool(added or remade),
    )


def _holds(was: str, now: str) -> bool:
    """Whether values landed as one PostgreSQL type are the same values in another one."""
    before, after = column_type(was).arrow, column_type(now).arrow
    return before == after or widens(before, after)


def _details(plan: Plan) -> dict[str, Any]:
    return {
        "guarantee": plan.bounds.guarantee,
        "lookback": str(plan.table.spec.lookback),
        SOURCE: plan.mark.to_dict(),
        SOURCE_TYPES: plan.table.source_types,
    }
