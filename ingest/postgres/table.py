"""One table in one snapshot: plan what to read, read it, drop what raw knows, commit the rest.

Here belongs the order of these steps; each of them is a module of its own (``plan``, ``read``,
``known``, ``commit``, and ``deletes`` for the keys that are gone). Here does not belong connecting,
locking or trying again: that is ``extract``.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ingest.postgres.catalog import SourceTable, read_table, refuse_repeated_keys
from ingest.postgres.commit import as_tombstones, commit, finish, staged
from ingest.postgres.connection import Connection
from ingest.postgres.deletes import (
    compare_keys,
    gone_keys,
    key_mark,
    missing_keys,
    refuse_missing,
    refuse_too_many,
)
from ingest.postgres.filled import rows_without_cursor
from ingest.postgres.identity import Change, SourceMark, compare, is_behind, read_relations
from ingest.postgres.known import History, KnownBlocks, without_landed
from ingest.postgres.plan import (
    BLOCK,
    Plan,
    drift,
    make_plan,
    mark_of,
    plan_everything,
    plan_rows,
    read_anew,
    rows_footer,
    tombstones_footer,
    warnings,
)
from ingest.postgres.read import Chunk, Part, key_conditions, reading
from ingest.postgres.reconcile import ROWS_A_RANGE, compare_ranges, range_condition
from ingest.postgres.report import ExtractReport, RewrittenMeanwhileError, SourceError
from ingest.postgres.state import (
    Checkpoint,
    TableState,
    checkpoint_path,
    derive_state,
    read_checkpoint,
    write_checkpoint,
)
from ingest.postgres.watermark import ServerBound, read_bounds
from ingest.postgres.witness import went_back
from ingest.sources import TableSpec
from lakehouse.progress import progress
from lakehouse.raw import CommitInfo, RawTable, remove_orphans
from lakehouse.settings import Settings

_SMALL_TABLE = 250_000
_DELETES_EVERY = timedelta(hours=1)
_MOST_BY_KEY = 20_000  # more rows than this are found faster by reading all


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run was asked for.

    Attributes:
        chunk_rows: Most rows in one commit of a read that has more.
        allow_deletes: Tombstone whatever is gone, however much it is.
        full: Read everything and land what differs from raw.
        reconcile: Compare counts and checksums of key ranges.
        repair: Read the ranges again that differ.
        rows_a_range: About how many rows are one range.
        only: SQL condition; then the rows for which it holds are read again and nothing else.
    """

    chunk_rows: int
    allow_deletes: bool = False
    full: bool = False
    reconcile: bool = False
    repair: bool = False
    rows_a_range: int = ROWS_A_RANGE
    only: str | None = None


def extract_table(
    settings: Settings,
    connection: Connection,
    server: ServerBound,
    spec: TableSpec,
    options: Options,
    report: ExtractReport,
) -> None:
    """Land what changed in one table.

    Args:
        settings: Where raw and state are.
        connection: In the snapshot.
        server: What the server said just before the snapshot.
        spec: The table.
        options: What was asked for.
        report: Filled; an earlier attempt of the run may have landed chunks.

    Raises:
        LakeError: The table cannot be extracted; what is committed stays.
    """
    raw = RawTable(settings.raw_dir, spec.source, spec.name)
    remove_orphans(raw)
    table = read_table(connection, spec, server.relations.get((spec.schema, spec.relation), ()))
    _hold(connection, table)
    refuse_repeated_keys(connection, table)
    state = derive_state(raw)
    report.begin(state.watermark)
    path = checkpoint_path(settings.state_dir, spec)
    checkpoint = read_checkpoint(path, state.digest)
    change = _change(table, server, state, checkpoint)
    drifted = drift(table, checkpoint.source_types if checkpoint else state.source_types)
    report.warn(drifted.sentences)
    known = KnownBlocks(checkpoint, is_first_load=not state.is_loaded)
    with History(table, raw, known, settings.state_dir / "scratch") as history:
        if change.is_restarted and not change.broken and went_back(connection, history):
            change = replace(
                change, broken="the server was restarted and does not show the newest landed rows"
            )
        full, anew = read_anew(table, change)
        full = full or options.full or drifted.needs_history
        bounds = read_bounds(connection, table, state, server, change, full=full)
        report.guarantee = bounds.guarantee
        report.null_cursors, report.future_cursors = bounds.nulls, bounds.future
        plan = make_plan(table, state, bounds, server, options.chunk_rows, full=full, anew=anew)
        report.warn(warnings(plan, state, server, change, anew))
        if options.only is not None:
            _land_rows(connection, history, plan_rows(plan, state, [options.only]), state, report)
            return

        # Rows that changed without their cursor may have moved to blocks that were read before.
        in_blocks = BLOCK in (state.resume_position or {})
        state = _land_rows(connection, history, plan, state, report)

        without_cursor = 0
        if table.cursor and table.cursor.nullable and spec.null_cursor == "include":
            state, without_cursor = _land_filled(
                connection, history, plan, state, checkpoint, report
            )
        keys = _KeysCompared.before(checkpoint, state)
        due = full or options.reconcile or _are_keys_due(plan, keys)
        if in_blocks or (spec.deletes == "reconcile" and due):
            state, keys = _land_key_differences(
                connection, history, plan, state, keys, options, report
            )
        report.keys_compared_at = keys.at
        if options.reconcile:
            state = _reconcile(connection, history, plan, state, options, report)
            keys = replace(keys, live=None, mark=None) if report.ranges else keys

        write_checkpoint(
            path,
            Checkpoint(
                digest=state.digest,
                watermark=state.watermark,
                resume_position=state.resume_position,
                commits=len(state.batch_ids),
                live_rows=keys.live,
                key_mark=keys.mark,
                keys_compared_at=None if _are_keys_always_due(plan) else keys.at,
                without_cursor=without_cursor,
                source=_source_read(plan, state, checkpoint, change).to_dict(),
                source_types=table.source_types,
                landed_blocks=known.landed(),
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeysCompared:
    """What is known of a table's keys.

    Attributes:
        live: Live keys in raw; None if nobody counted since raw changed.
        mark: ``key_mark`` of the source when its keys were those of raw; None likewise.
        at: When they were last compared (UTC).
    """

    live: int | None = None
    mark: str | None = None
    at: str | None = None

    @classmethod
    def before(cls, checkpoint: Checkpoint | None, state: TableState) -> "_KeysCompared":
        """What a checkpoint says about it, raw standing as it does now."""
        if checkpoint is None:
            return cls()
        if checkpoint.digest != state.digest:
            return cls(at=checkpoint.keys_compared_at)
        return cls(
            live=checkpoint.live_rows, mark=checkpoint.key_mark, at=checkpoint.keys_compared_at
        )


def _are_keys_always_due(plan: Plan) -> bool:
    """Whether a table is small enough to compare its keys at every run."""
    every = plan.table.spec.deletes_every
    return every == timedelta(0) or (
        every is None and (plan.table.rows_estimate or 0) <= _SMALL_TABLE
    )


def _are_keys_due(plan: Plan, keys: _KeysCompared) -> bool:
    """Whether keys are to be compared in this run: that takes longer the larger the table is."""
    if _are_keys_always_due(plan) or keys.at is None:
        return True
    every = plan.table.spec.deletes_every or _DELETES_EVERY
    return plan.read_at - datetime.fromisoformat(keys.at) >= every


def _hold(connection: Connection, table: SourceTable) -> None:
    """Keep the table's files as they are to the end of the transaction.

    A table that is truncated after the snapshot looks empty in it, and one that is filled again
    looks as if it had always been so: what is seen is then no state that ever was.

    Raises:
        RewrittenMeanwhileError: That has happened since the files were noted.
    """
    connection.execute(f"select 1 from {table.sql_name} limit 0")
    spec = table.spec
    now = read_relations(connection, [spec]).get((spec.schema, spec.relation), ())
    if now != table.relations:
        raise RewrittenMeanwhileError(
            f"{spec.origin} was truncated, rewritten or partitioned anew while it was "
            "about to be read",
            "run this again when that has ended",
        )


def _change(
    table: SourceTable, server: ServerBound, state: TableState, checkpoint: Checkpoint | None
) -> Change:
    """How the source differs from what was read before.

    Raises:
        SourceError: It is a standby that has not yet seen what was read before.
    """
    now = mark_of(table, server)
    before = SourceMark.from_dict(checkpoint.source) if checkpoint else state.source
    if server.is_standby and is_behind(before, now):
        raise SourceError(
            f"the standby has replayed its log to {now.log_position}, and what was read before "
            f"goes to {before.log_position if before else None}",
            "wait until it has caught up, or read from the primary",
        )
    change = compare(before, now)
    # Rows that were invisible at the last commit have cursors of the clock as it went since then.
    clock = compare(state.source, now)
    return replace(change, clock_back=clock.clock_back, is_clock_back=clock.is_clock_back)


def _source_read(
    plan: Plan, state: TableState, checkpoint: Checkpoint | None, change: Change
) -> SourceMark:
    """What the checkpoint says was read: as long as it is the same, what the commits say."""
    if change.broken or change.added or change.rewritten:
        return plan.mark
    if checkpoint and checkpoint.digest == state.digest:
        return SourceMark.from_dict(checkpoint.source) or plan.mark
    return state.source or plan.mark


def _land_filled(
    connection: Connection,
    history: History,
    plan: Plan,
    state: TableState,
    checkpoint: Checkpoint | None,
    report: ExtractReport,
) -> tuple[TableState, int]:
    """Land the rows that had no cursor and have one now.

    Returns:
        Where the table stands, and how many rows in raw have no cursor.
    """
    if checkpoint and checkpoint.without_cursor is not None and state.digest == checkpoint.digest:
        count = checkpoint.without_cursor
        if count == plan.bounds.nulls:
            return state, count
    keys = rows_without_cursor(history)
    if keys.num_rows == plan.bounds.nulls:
        return state, keys.num_rows
    again = plan_rows(plan, state, key_conditions(plan.table, keys))
    landed = _land_rows(connection, history, again, state, report)
    return landed, keys.num_rows if landed is state else rows_without_cursor(history).num_rows


def _land_key_differences(
    connection: Connection,
    history: History,
    plan: Plan,
    state: TableState,
    known: _KeysCompared,
    options: Options,
    report: ExtractReport,
) -> tuple[TableState, _KeysCompared]:
    """Land rows that are not live in raw, and tombstones for those that are gone.

    Returns:
        Where the table stands, and its keys, now those of the source.
    """
    table, at = plan.table, plan.read_at.isoformat()
    mark = key_mark(connection, table)
    if known.mark == mark:
        return state, replace(known, at=at)
    in_source, all_keys, wanted_keys = mark.split()
    if not plan.landed and all_keys == wanted_keys and int(in_source) == report.upserts:
        # All from one snapshot, in which a key is unique.
        return state, _KeysCompared(live=report.upserts, mark=mark, at=at)
    difference = compare_keys(connection, history, mark)
    if difference.missing:
        report.warn(
            [
                f"{difference.missing:,} rows of the source were not in raw, their "
                f"{table.spec.cursor} being older than what is read: landed by their keys"
            ]
        )
        conditions = key_conditions(table, missing_keys(history))
        again = (
            plan_rows(plan, state, conditions)
            if difference.missing <= _MOST_BY_KEY
            else plan_everything(plan, state)
        )
        state = _land_rows(connection, history, again, state, report)
        difference = compare_keys(connection, history, mark)
        refuse_missing(table, difference)
    if difference.gone and table.spec.deletes == "ignore":
        return state, known
    if difference.gone:
        if not options.allow_deletes:
            refuse_too_many(table, difference, report.upserts)
        state = _land_tombstones(history, plan, state, report)
    return state, _KeysCompared(live=difference.live - difference.gone, mark=mark, at=at)


def _reconcile(
    connection: Connection,
    history: History,
    plan: Plan,
    state: TableState,
    options: Options,
    report: ExtractReport,
) -> TableState:
    """Compare key ranges, and read those again that differ if that was asked for."""
    report.ranges = tuple(compare_ranges(connection, history, options.rows_a_range))
    if not report.ranges or not options.repair:
        return state
    conditions = [range_condition(plan.table, difference) for difference in report.ranges]
    state = _land_rows(connection, history, plan_rows(plan, state, conditions), state, report)
    left = {d.low for d in compare_ranges(connection, history, options.rows_a_range)}
    report.ranges = tuple(replace(d, repaired=d.low not in left) for d in report.ranges)
    return state


def _land_rows(
    connection: Connection, history: History, plan: Plan, state: TableState, report: ExtractReport
) -> TableState:
    """Land what the plan reads and raw has not; gives where the table stands then."""
    is_long = plan.is_full or not state.is_loaded
    shown = progress(plan.table.spec.label, plan.table.rows_estimate) if is_long else nullcontext()
    with shown as bar:
        for part in plan.parts:
            rest: Part | None = part
            while rest is not None:
                is_last = part is plan.parts[-1] and part.only is None
                chunk, info = land_chunk(connection, history, plan, rest, state, is_last)
                if info is not None:
                    state = state.after(info)
                    report.add(info)
                report.rows_read += chunk.rows_read
                if bar is not None:
                    bar.advance(chunk.rows_read)
                rest = replace(rest, start=chunk.end) if chunk.end else None
    return state


def land_chunk(
    connection: Connection,
    history: History,
    plan: Plan,
    part: Part,
    state: TableState,
    is_last: bool,
) -> tuple[Chunk, CommitInfo | None]:
    """Read the first chunk of a part and land the new ones among its rows, if any, as one commit.

    Args:
        connection: In the snapshot.
        history: What is landed.
        plan: The pass over the table.
        part: What is left of it.
        state: Where the table stands.
        is_last: Whether the pass ends with this part: then an unfinished load has ended.

    Returns:
        What was read, and the commit; None if nothing was new.
    """
    with reading(connection, plan.table, part, plan.read_at) as chunk:
        new = without_landed(chunk.blocks(), plan, part, history)
        with staged(history.raw, plan, state, new, in_cursor_order=part.in_order) as file:
            if file is None:
                if state.resume_position is None or not is_last or chunk.end is not None:
                    return chunk, None
                footer = rows_footer(plan, state, part, chunk, 0, 0)
                return chunk, finish(history.raw, plan, state, footer)
            footer = rows_footer(plan, state, part, chunk, file.writer.rows, file.nulls)
            return chunk, commit(file, plan, state, footer)


def _land_tombstones(
    history: History, plan: Plan, state: TableState, report: ExtractReport
) -> TableState:
    """Land a tombstone for each key that is gone, as one commit."""
    blocks = (as_tombstones(plan, keys) for keys in gone_keys(history))
    with staged(history.raw, plan, state, blocks, in_cursor_order=False) as file:
        if file is None:
            return state
        info = commit(file, plan, state, tombstones_footer(plan))
    report.add(info)
    return state.after(info)
