"""What raw already holds of a table, asked with DuckDB over as few files as possible.

Every run reads from below the watermark, so most of what an idle run reads is landed already. Here
belongs dropping that: a block of rows that the run before found landed is recognized without
looking, other rows are compared with the commits that can hold them. Here does not belong reading
the source or writing commits. DuckDB is imported on first use: an idle run needs none.
"""

import hashlib
import os
import resource
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.postgres.catalog import SourceTable
from ingest.postgres.plan import Plan
from ingest.postgres.read import UPSERT, Part
from ingest.postgres.state import Checkpoint, reaches
from ingest.postgres.types import duckdb_type, identifier, literal, widens
from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo, RawTable
from lakehouse.raw.reading import rows_sql
from lakehouse.raw.verify import verify_file

if TYPE_CHECKING:
    import duckdb

MOST_BLOCKS = 16
"""A run that reads more than so many blocks is not idle; its blocks are not remembered."""

_ENGINE: dict[str, Any] = {"threads": 2, "preserve_insertion_order": False}
_ROWS_TO_GATHER = 500_000
_MEMORY_SHARE = 0.4
_LEAST_MEMORY, _MOST_MEMORY = 128 << 20, 2 << 30

# Inside the engine columns are called by number: a name of the source could be one of ours, or be
# equal to another one but for case, which DuckDB does not tell apart.


def numbered(columns: Iterable[object]) -> list[str]:
    """What so many columns of a source are called inside the engine."""
    return [f"c{number}" for number, _ in enumerate(columns)]


class OutOfMemoryError(LakeError):
    """What is landed is too large to be compared in the memory that there is."""


def _memory_limit() -> int:
    """What the engine may use, in bytes: a share of what this process has."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            available = min(available, int(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        available = min(available, soft)
    return max(_LEAST_MEMORY, min(_MOST_MEMORY, int(available * _MEMORY_SHARE)))


class History:
    """The commits of one table, this run's own included.

    Args:
        table: The source table.
        raw: Its raw layer.
        known: Blocks of rows that need not be compared.
        scratch: Folder for what does not fit into memory.
    """

    def __init__(
        self, table: SourceTable, raw: RawTable, known: "KnownBlocks", scratch: Path
    ) -> None:
        self.table = table
        self.raw = raw
        self.known = known
        self._scratch = scratch
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._infos: dict[Path, CommitInfo] = {}
        self._listed: str | None = None
        self._schemas: dict[str, pa.Schema] = {}
        self.gathered: tuple[Path, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._engine is not None:
            self._engine.close()

    def infos(self) -> dict[Path, CommitInfo]:
        """The footers of all commits in order; each is read once.

        Raises:
            RawFileError: One is damaged.
        """
        listed = self.raw.listing().digest
        if listed != self._listed:
            unread = {path.stem: path for path in self.raw.commits() if path not in self._infos}
            for info in self.raw.read_many(unread):
                self._infos[unread[info.batch_id]] = info
            self._listed = listed
        return self._infos

    def schema_of(self, info: CommitInfo, path: Path) -> pa.Schema:
        """The columns of a commit; equal ones are read once."""
        if info.schema_hash not in self._schemas:
            (part,) = self.raw.slices([path.stem])
            self._schemas[info.schema_hash] = pq.read_schema(part.path)
        return self._schemas[info.schema_hash]

    def scan(self, files: Sequence[Path], columns: Sequence[str]) -> str:
        """SQL that reads columns of commits, named by ``numbered``, beside three of our own.

        ``op``, ``batch`` and ``retyped``: whether a value could not be read in the type that its
        column has now. A column that a commit does not have is NULL. Commits are grouped by their
        schema, so that nothing is left to guessing by name or type.

        Args:
            files: Commits.
            columns: Names of columns.
        """
        infos = self.infos()
        groups: dict[str, list[Path]] = {}
        for path in files:
            groups.setdefault(infos[path].schema_hash, []).append(path)
        parts = []
        for paths in groups.values():
            schema = self.schema_of(infos[paths[0]], paths[0])
            chosen, retyped = [], False
            for name, number in zip(columns, numbered(columns), strict=True):
                value, is_retyped = self._value(schema, name)
                chosen.append(f"{value} as {number}")
                retyped = retyped or is_retyped
            rows = rows_sql(self.raw.slices(path.stem for path in paths))
            parts.append(
                f"select {', '.join(chosen)}, _op as op, _batch_id as batch, {retyped} as retyped "
                f"from {rows}"
            )
        return " union all ".join(parts)

    def _value(self, schema: pa.Schema, name: str) -> tuple[str, bool]:
        """SQL of a column of a commit in the type that it has now, and whether it had another."""
        if name not in schema.names:
            return "null", False
        was, now = schema.field(name).type, self.table.schema.field(name).type
        if was == now or widens(was, now):
            return identifier(name), False
        if name in self.table.key_names:
            return f"try_cast({identifier(name)} as {duckdb_type(now)})", True
        return "null", True

    @contextmanager
    def asked(self, files: Iterable[Path]) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The engine, asked about these commits; an error is traced to the damaged one of them."""
        import duckdb

        if self._engine is None:
            self._engine = duckdb.connect(
                config={
                    **_ENGINE,
                    "memory_limit": f"{_memory_limit() >> 20}MiB",
                    "temp_directory": str(self._scratch),
                }
            )
        try:
            yield self._engine
        except duckdb.OutOfMemoryException as error:
            raise OutOfMemoryError(
                f"what is landed of {self.table.spec.label} cannot be compared: "
                f"{str(error).splitlines()[0]}",
                "free memory, then run the same command again",
            ) from error
        except duckdb.Error as error:
            for part in self.raw.slices(path.stem for path in files):
                verify_file(self.raw, part.path)
            first_line = str(error).splitlines()[0]
            raise LakeError(
                f"what is landed of {self.table.spec.label} cannot be compared: {first_line}",
                "free memory and disk space, then run the same command again",
            ) from error


class KnownBlocks:
    """Blocks of rows by their fingerprints: those the run before found landed, and this run's.

    Args:
        checkpoint: Names blocks all of whose rows are the latest versions in raw, as raw is when
            this run begins.
        is_first_load: Then nothing is read that is read again.
    """

    def __init__(self, checkpoint: Checkpoint | None, *, is_first_load: bool) -> None:
        self._before = frozenset(checkpoint.landed_blocks if checkpoint else ())
        self._read: set[str] | None = None if is_first_load else set()

    def recognizes(self, rows: pa.Table) -> bool:
        """Note a block, and say whether it is landed for certain."""
        if self._read is None:
            return False
        mark = fingerprint(rows)
        self._read.add(mark)
        if len(self._read) > MOST_BLOCKS:
            self._read = None
        return mark in self._before

    def landed(self) -> tuple[str, ...]:
        """The blocks of this run: when it has ended, all their rows are in raw."""
        return tuple(sorted(self._read or ()))


def without_landed(
    blocks: Iterable[pa.Table], plan: Plan, part: Part, history: History
) -> Iterator[pa.Table]:
    """Drop the rows that raw holds in the same version.

    Args:
        blocks: Rows of a chunk as ``read.as_raw`` makes them.
        plan: The pass.
        part: Where the chunk begins.
        history: What is landed.

    Yields:
        The others, in their order; no block is empty.
    """
    if part.blocks is not None:
        # Blocks are read by a first load, whose other parts leave these rows out.
        yield from blocks
        return
    files: list[Path] | None = None
    for block in blocks:
        if history.known.recognizes(block):
            continue
        if files is None:
            files = _files_of(plan, part, history)
        try:
            keep = _keep_changed if _is_long(plan, files, history) else _keep_new
            fresh = keep(block, files, history)
        except OutOfMemoryError:
            # Values of hundreds of megabytes: landing them twice is harmless.
            fresh = block
        if fresh.num_rows:
            yield fresh


def _files_of(plan: Plan, part: Part, history: History) -> list[Path]:
    """The commits in which the latest version of a row of this part can be.

    All commits from the first that can on: a later one may hold a newer version.
    """
    if not plan.landed:
        return []
    # All files where all rows are read, so that what is landed is gathered once and not by chunk.
    in_cursor_order = part.in_order and plan.table.cursor is not None and not plan.is_full
    infos = {path: i for path, i in history.infos().items() if i.batch_id in plan.landed}
    for place, info in enumerate(infos.values()):
        if part.without_cursor:
            can = bool(info.details.get("null_cursors", 1))
        else:
            start = part.start if in_cursor_order else None
            can = start is None or reaches(info.cursor_max, start)
        if can:
            return list(infos)[place:]
    return []


def _is_long(plan: Plan, files: Sequence[Path], history: History) -> bool:
    """Whether so many blocks will come that what is landed is better gathered once."""
    infos = history.infos()
    return plan.is_full and sum(infos[path].rows for path in files) > _ROWS_TO_GATHER


def _keep_changed(rows: pa.Table, files: Sequence[Path], history: History) -> pa.Table:
    """The same as ``_keep_new``, by hashes of all that is landed, gathered at the first block.

    Two hashes of 64 bits each: other content has another pair, but for a chance that is none.
    """
    values = [*(column.name for column in history.table.columns), "_unrepresentable"]
    numbers = numbered(values)
    key = ", ".join(numbers[values.index(name)] for name in history.table.key_names)
    content = ", ".join(numbers)
    hashes = f"hash({content}) as one, hash('other', {content}) as two"
    incoming = rows.select(values).rename_columns(numbers)
    incoming = incoming.append_column("place", pa.array(np.arange(rows.num_rows)))
    with history.asked(files) as engine:
        engine.register("incoming", incoming)
        if history.gathered != tuple(files):
            engine.execute(
                f"""
                create or replace temp table gathered as
                select {key}, arg_max({{'op': op, 'retyped': retyped, 'one': one, 'two': two}},
                    batch) as version
                from (
                    select {key}, {hashes}, op, batch, retyped from (
                        select {content}, '' as op, '' as batch, false as retyped
                        from incoming where false
                        union all {history.scan(files, values)}
                    )
                ) group by {key}
                """
            )
            history.gathered = tuple(files)
        places: Any = engine.sql(
            f"""
            select place from (select place, {key}, {hashes} from incoming) as now
            anti join (
                select {key}, version.one as one, version.two as two from gathered
                where version.op = {literal(UPSERT)} and not version.retyped
            ) as latest using ({key}, one, two)
            order by place
            """
        ).to_arrow_table()
        engine.unregister("incoming")
    return rows if places.num_rows == rows.num_rows else rows.take(places.column(0))


def _keep_new(rows: pa.Table, files: Sequence[Path], history: History) -> pa.Table:
    """The rows whose latest version in these commits is another one."""
    if not files:
        return rows
    values = [*(column.name for column in history.table.columns), "_unrepresentable"]
    numbers = numbered(values)
    same = " and ".join(f"incoming.{c} is not distinct from latest.{c}" for c in numbers)
    key = ", ".join(numbers[values.index(name)] for name in history.table.key_names)
    incoming = rows.select(values).rename_columns(numbers)
    incoming = incoming.append_column("place", pa.array(np.arange(rows.num_rows)))
    with history.asked(files) as engine:
        engine.register("incoming", incoming)
        places: Any = engine.sql(
            f"""
            with known as (
                select {", ".join(numbers)}, '' as op, '' as batch, false as retyped
                from incoming where false
                union all {history.scan(files, values)}
            ),
            latest as (
                select * from known semi join incoming using ({key})
                qualify row_number() over (partition by {key} order by batch desc) = 1
            )
            select place from incoming
            anti join latest on latest.op = {literal(UPSERT)} and not latest.retyped and {same}
            order by place
            """
        ).to_arrow_table()
        engine.unregister("incoming")
    return rows if places.num_rows == rows.num_rows else rows.take(places.column(0))


def fingerprint(rows: pa.Table) -> str:
    """Identify a block of rows by all that raw will hold of it but when it was read.

    Args:
        rows: As ``read.as_raw`` makes them.
    """
    digest = hashlib.sha256()
    for name in rows.column_names:
        if name in ("_batch_id", "_op", "_extracted_at"):
            continue
        column = rows.column(name).combine_chunks()
        for part in (column.is_valid(), column.drop_null()):
            # Bitmaps end in bits that nobody has set: validity is hashed as bytes, like booleans.
            whole_bytes = part.cast(pa.uint8()) if pa.types.is_boolean(part.type) else part
            batch = pa.record_batch([whole_bytes], names=[name])
            digest.update(batch.schema.serialize())
            digest.update(batch.serialize())
    return digest.hexdigest()
