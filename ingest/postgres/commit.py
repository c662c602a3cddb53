"""Writing what is new: rows into a file, and a footer that says how far the table is then.

Here belongs the way of blocks of rows into one commit. Here does not belong which rows are new
(``known``) or what the footer says (``plan``).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.postgres.plan import Footer, Plan
from ingest.postgres.read import DELETE, position_of, raw_table
from ingest.postgres.state import FOLLOWS, TableState
from ingest.postgres.types import postgres_text
from lakehouse import __version__
from lakehouse.raw import CommitInfo, CommitWriter, RawTable, new_batch_id

WRITER = f"ingest.postgres/{__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Rows in a file that nobody sees yet.

    Attributes:
        writer: Has the file open.
        cursor_min: The smallest cursor, exact text; None if that is not known.
        cursor_max: The largest one.
        nulls: Rows without a cursor, as far as these were counted.
    """

    writer: CommitWriter
    cursor_min: str | None
    cursor_max: str | None
    nulls: int = 0


@contextmanager
def staged(
    raw: RawTable,
    plan: Plan,
    state: TableState,
    blocks: Iterable[pa.Table],
    *,
    in_cursor_order: bool,
) -> Iterator[Staged | None]:
    """Write blocks of rows into a new file; leaving the block without a commit removes it.

    Args:
        raw: Where the file goes.
        plan: The pass that the rows belong to.
        state: Where the table stands before it.
        blocks: Rows made by ``read.raw_table``, at least one in each block.
        in_cursor_order: Whether the rows come in the order of their cursor.

    Yields:
        What was written; None if there was no row, and then there is no file.
    """
    remaining = iter(blocks)
    block = next(remaining, None)
    if block is None:
        yield None
        return
    batch_id = new_batch_id(state.newest)
    cursor_min = _cursor_at(plan, block, 0) if in_cursor_order else None
    span = None if in_cursor_order else _Span(plan)
    with CommitWriter(raw, plan.table.schema, batch_id) as writer:
        while block is not None:
            if span:
                span.add(block)
            writer.write(_with_batch_id(block, batch_id, plan.table.schema))
            last, block = block, next(remaining, None)
        if span:
            yield Staged(
                writer=writer, cursor_min=span.least, cursor_max=span.most, nulls=span.nulls
            )
        else:
            cursor_max = _cursor_at(plan, last, last.num_rows - 1) if in_cursor_order else None
            yield Staged(writer=writer, cursor_min=cursor_min, cursor_max=cursor_max)


class _Span:
    """The smallest and the largest cursor of rows that come in any order.

    Args:
        plan: The pass that the rows belong to.
    """

    def __init__(self, plan: Plan) -> None:
        self._cursor = plan.table.cursor
        self._ends: list[Any] = []
        self._is_known = self._cursor is not None and self._cursor.type.arrow != pa.string()
        self.nulls = 0

    def add(self, rows: pa.Table) -> None:
        """Look at a block of rows."""
        if self._cursor is None:
            return
        cursors = rows.column(self._cursor.name)
        self.nulls += cursors.null_count
        if cursors.null_count and rows.column("_unrepresentable").null_count < rows.num_rows:
            # Some of these may have a cursor that no Arrow type holds.
            self._is_known = False
        if self._is_known and cursors.null_count < rows.num_rows:
            found = pc.min_max(cursors).as_py()
            self._ends += [found["min"], found["max"]]

    @property
    def least(self) -> str | None:
        """The smallest one's exact text; None if that is not known."""
        return postgres_text(min(self._ends)) if self._is_known and self._ends else None

    @property
    def most(self) -> str | None:
        """The largest one's."""
        return postgres_text(max(self._ends)) if self._is_known and self._ends else None


def commit(file: Staged, plan: Plan, state: TableState, footer: Footer) -> CommitInfo:
    """Let a staged file appear.

    Args:
        file: The rows.
        plan: The pass that they belong to.
        state: Where the table stands before the commit.
        footer: What the commit says about it.
    """
    rows = file.writer.rows
    deletes = rows if footer.kind == "tombstones" else 0
    return file.writer.commit(
        kind=footer.kind,
        writer=WRITER,
        extracted_at=plan.read_at,
        upserts=rows - deletes,
        deletes=deletes,
        watermark_before=state.watermark,
        watermark_after=footer.watermark,
        resume_position=footer.resume_position,
        cursor_min=file.cursor_min,
        cursor_max=file.cursor_max,
        details={**footer.details, FOLLOWS: state.digest},
    )


def finish(raw: RawTable, plan: Plan, state: TableState, footer: Footer) -> CommitInfo:
    """Note that a load has ended whose last part had no row, by a commit without rows.

    Args:
        raw: Where it goes.
        plan: The pass.
        state: Where the table stands.
        footer: What the commit of that part would have said.
    """
    with CommitWriter(raw, plan.table.schema, new_batch_id(state.newest)) as writer:
        return commit(
            Staged(writer=writer, cursor_min=None, cursor_max=None),
            plan,
            state,
            replace(footer, kind="state"),
        )


def as_tombstones(plan: Plan, keys: pa.Table) -> pa.Table:
    """Rows that say that these keys are gone: all but the key is NULL."""
    columns = [
        keys.column(column.name).cast(column.type.arrow)
        if column in plan.table.key
        else pa.nulls(keys.num_rows, column.type.arrow)
        for column in plan.table.columns
    ]
    return raw_table(plan.table, columns, DELETE, plan.read_at)


def _cursor_at(plan: Plan, rows: pa.Table, index: int) -> str | None:
    return position_of(plan.table, rows, index).cursor


def _with_batch_id(rows: pa.Table, batch_id: str, schema: pa.Schema) -> pa.Table:
    place = schema.get_field_index("_batch_id")
    column = pa.repeat(pa.scalar(batch_id, pa.string()), rows.num_rows)
    return rows.set_column(place, schema.field(place), column).cast(schema)
