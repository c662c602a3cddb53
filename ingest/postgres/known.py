"""What raw already holds of a table, asked with DuckDB over as few files as possible.

Every run reads from below the watermark, so most of what an idle run reads is landed already. Here
belongs dropping that: a block of rows that the run before found landed is recognized without
looking, other rows are compared with the commits that can hold them. Here does not belong reading
the source or writing commits. DuckDB is imported on first use: an idle run needs none.
"""

import hashlib
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
from ingest.postgres.types import identifier, literal, names
from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo, RawTable
from lakehouse.raw.reading import rows_sql
from lakehouse.raw.verify import verify_file

if TYPE_CHECKING:
    import duckdb

MOST_BLOCKS = 16
"""A run that reads more than so many blocks is not idle; its blocks are not remembered."""

_ENGINE: dict[str, Any] = {"threads": 2, "memory_limit": "512MB", "preserve_insertion_order": False}
_PLACE = "_place"


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

    def schemas(self) -> dict[str, pa.Schema]:
        """The different schemas that commits have, by their hash, the newest commit's last."""
        newest: dict[str, Path] = {}
        for path, info in self.infos().items():
            newest.pop(info.schema_hash, None)
            newest[info.schema_hash] = path
        for hash_ in newest.keys() - self._schemas.keys():
            (part,) = self.raw.slices([newest[hash_].stem])
            self._schemas[hash_] = pq.read_schema(part.path)
        return {hash_: self._schemas[hash_] for hash_ in newest}

    def scan(self, files: Sequence[Path], columns: Sequence[str]) -> str:
        """SQL that reads columns of commits; a column that a commit does not have yet is NULL.

        Commits are grouped by their schema, so that nothing is left to guessing by name or type.
        """
        infos, schemas = self.infos(), self.schemas()
        groups: dict[str, list[Path]] = {}
        for path in files:
            groups.setdefault(infos[path].schema_hash, []).append(path)
        parts = []
        for hash_, paths in groups.items():
            present = set(schemas[hash_].names)
            chosen = ", ".join(
                identifier(name) if name in present else f"null as {identifier(name)}"
                for name in columns
            )
            rows = rows_sql(self.raw.slices(path.stem for path in paths))
            parts.append(f"select {chosen}, _op, _batch_id from {rows}")
        return " union all by name ".join(parts)

    @contextmanager
    def asked(self, files: Iterable[Path]) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The engine, asked about these commits; an error is traced to the damaged one of them."""
        import duckdb

        if self._engine is None:
            self._engine = duckdb.connect(config={**_ENGINE, "temp_directory": str(self._scratch)})
        try:
            yield self._engine
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
    files: list[Path] | None = None
    for block in blocks:
        if history.known.recognizes(block):
            continue
        if files is None:
            files = _files_of(plan, part, history)
        fresh = _keep_new(block, files, history)
        if fresh.num_rows:
            yield fresh


def _files_of(plan: Plan, part: Part, history: History) -> list[Path]:
    """The commits in which the latest version of a row of this part can be.

    All commits from the first that can on: a later one may hold a newer version.
    """
    if not plan.landed:
        return []
    infos = {path: i for path, i in history.infos().items() if i.batch_id in plan.landed}
    for place, info in enumerate(infos.values()):
        if part.without_cursor:
            can = bool(info.details.get("null_cursors", 1))
        else:
            can = part.start is None or reaches(info.cursor_max, part.start)
        if can:
            return list(infos)[place:]
    return []


def _keep_new(rows: pa.Table, files: Sequence[Path], history: History) -> pa.Table:
    """The rows whose latest version in these commits is another one."""
    if not files:
        return rows
    values = [column.name for column in history.table.columns] + ["_unrepresentable"]
    same = " and ".join(
        f"incoming.{identifier(name)} is not distinct from latest.{identifier(name)}"
        for name in values
    )
    key = names(history.table.key_names)
    incoming = rows.append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    with history.asked(files) as engine:
        engine.register("incoming", incoming)
        places: Any = engine.sql(
            f"""
            with known as (
                select {names(values)}, _op, _batch_id from incoming where false
                union all by name {history.scan(files, values)}
            ),
            latest as (
                select * from known semi join incoming using ({key})
                qualify row_number() over (partition by {key} order by _batch_id desc) = 1
            )
            select {_PLACE} from incoming
            anti join latest on latest._op = {literal(UPSERT)} and {same}
            order by {_PLACE}
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
