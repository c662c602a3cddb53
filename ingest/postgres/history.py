"""What raw already holds of a table: asked with DuckDB, over as few files as possible.

Here belongs comparing rows and keys that were read with those that are landed. Here does not belong
reading the source or writing commits. DuckDB is imported on first use: an idle run needs none.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.postgres.catalog import SourceTable
from ingest.postgres.queries import DELETE, UPSERT
from ingest.postgres.sql import identifier, literal, names
from lakehouse.errors import LakeError
from lakehouse.raw import CommitInfo, RawFileError, RawTable
from lakehouse.raw.verify import verify_commit

if TYPE_CHECKING:
    import duckdb

_MEMORY = "512MB"
_THREADS = 2
_TOMBSTONE_ROWS = 100_000
_PLACE = "_place"


class History:
    """The commits of one table, as they are when the block begins.

    Args:
        table: The source table.
        raw: Its raw layer.
        scratch: Folder for what does not fit into memory.
    """

    def __init__(self, table: SourceTable, raw: RawTable, scratch: Path) -> None:
        self._table = table
        self._raw = raw
        self._scratch = scratch
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._infos: dict[Path, CommitInfo] = {}
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

    def files(self) -> list[Path]:
        """All commits in order; none is opened."""
        return self._raw.commits()

    def infos(self) -> dict[Path, CommitInfo]:
        """The footers of all commits; each is read once.

        Raises:
            RawFileError: One is damaged.
        """
        for path in self.files():
            if path not in self._infos:
                self._infos[path] = self._raw.read(path)
        return self._infos

    def schemas(self) -> dict[str, pa.Schema]:
        """One schema for each schema hash that any commit has."""
        for path, info in self.infos().items():
            if info.schema_hash not in self._schemas:
                self._schemas[info.schema_hash] = pq.read_schema(path)
        return self._schemas

    def keep_new(self, rows: pa.Table, files: Sequence[Path]) -> pa.Table:
        """Drop the rows whose latest version in raw is the same.

        Args:
            rows: Rows as ``as_raw`` makes them.
            files: The commits in which that version can be.

        Returns:
            The others, in their order.
        """
        if not files or not rows.num_rows:
            return rows
        values = [column.name for column in self._table.columns] + ["_unrepresentable"]
        same = " and ".join(
            f"incoming.{identifier(name)} is not distinct from latest.{identifier(name)}"
            for name in values
        )
        key = names(self._table.key_names)
        incoming = rows.append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
        with self._asked(files) as engine:
            engine.register("incoming", incoming)
            places: Any = engine.sql(
                f"""
                with known as (
                    select {names(values)}, _op, _batch_id from incoming where false
                    union all by name {self._scan(files, values)}
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

    def live_change(self, before: Collection[Path]) -> int:
        """By how much the number of live keys grew since there were only certain commits.

        Args:
            before: Those commits; none gives the number of live keys.
        """
        files = self.files()
        new = [path for path in files if path not in before]
        old = [path for path in files if path in before]
        if not new:
            return 0
        key = names(self._table.key_names)
        if not old:
            sql = f"select count(*), 0 from ({self._live(new)})"
        else:
            touched = f"select {key} from ({self._scan(new, self._table.key_names)})"
            sql = f"""
                select
                    (select count(*) from ({self._live(new)})),
                    (select count(*) from ({self._live(old, among=touched)}))
            """
        with self._asked(files) as engine:
            ((now, then),) = engine.execute(sql).fetchall()
        return int(now) - int(then)

    def load_keys(self, source_keys: pa.RecordBatchReader) -> tuple[int, int]:
        """Compare the keys in the source with the live ones; they stay loaded for ``gone_keys``.

        Returns:
            How many live keys are gone from the source, and how many of the source are not live.
        """
        files = list(self.infos())
        key = names(self._table.key_names)
        with self._asked(files) as engine:
            self._store_keys(engine, source_keys)
            live = self._live(files) if files else f"select {key} from source_keys where false"
            engine.execute(f"create or replace temp table live_keys as {live}")
            ((gone, missing),) = engine.execute(
                f"""
                select
                    (select count(*) from live_keys anti join source_keys using ({key})),
                    (select count(*) from source_keys anti join live_keys using ({key}))
                """
            ).fetchall()
        return int(gone), int(missing)

    def gone_keys(self) -> Iterator[pa.Table]:
        """The keys that ``load_keys`` found gone, in blocks."""
        key = names(self._table.key_names)
        with self._asked(()) as engine:
            reader: Any = engine.sql(
                f"select {key} from live_keys anti join source_keys using ({key}) order by {key}"
            ).to_arrow_reader(_TOMBSTONE_ROWS)
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def check_keys(self) -> None:
        """Re-read all landed keys against their checksums, which DuckDB does not look at.

        Raises:
            RawFileError: A commit is damaged; what looks deleted may only be unreadable.
        """
        columns = [*self._table.key_names, "_op"]
        for path in self.infos():
            try:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    for _ in file.iter_batches(columns=columns):
                        pass
            except (pa.ArrowException, OSError) as error:
                raise RawFileError(path, str(error).splitlines()[0]) from error

    def _store_keys(
        self, engine: "duckdb.DuckDBPyConnection", source_keys: pa.RecordBatchReader
    ) -> None:
        # Batch by batch, so that a broken connection is not wrapped into an error of DuckDB.
        empty = source_keys.schema.empty_table()
        engine.register("incoming", empty)
        engine.execute("create or replace temp table source_keys as select * from incoming")
        for batch in source_keys:
            engine.register("incoming", pa.Table.from_batches([batch]))
            engine.execute("insert into source_keys select * from incoming")
        engine.unregister("incoming")

    def _live(self, files: Sequence[Path], among: str | None = None) -> str:
        """SQL of the live keys; only keys that ever had a tombstone need their latest version."""
        key = names(self._table.key_names)
        scan = self._scan(files, self._table.key_names)
        if among is not None:
            scan = f"select * from ({scan}) semi join ({among}) using ({key})"
        with_tombstones = [path for path in files if self.infos()[path].deletes]
        if not with_tombstones:
            return f"select distinct {key} from ({scan})"
        buried = self._scan(with_tombstones, self._table.key_names)
        return f"""
            select distinct {key} from ({scan}) anti join (
                select {key} from ({scan})
                semi join (select {key} from ({buried}) where _op = {literal(DELETE)}) using ({key})
                group by {key} having arg_max(_op, _batch_id) = {literal(DELETE)}
            ) using ({key})
        """

    def _scan(self, files: Sequence[Path], columns: Sequence[str]) -> str:
        """SQL that reads columns of commits; a column that a commit does not have yet is NULL.

        Commits are grouped by their schema, so that nothing is left to guessing by name or type.
        """
        groups: dict[str, list[Path]] = {}
        for path in files:
            groups.setdefault(self.infos()[path].schema_hash, []).append(path)
        parts = []
        for hash_, paths in groups.items():
            present = set(self.schemas()[hash_].names)
            chosen = ", ".join(
                identifier(name) if name in present else f"null as {identifier(name)}"
                for name in columns
            )
            listed = ", ".join(literal(str(path)) for path in paths)
            parts.append(
                f"select {chosen}, _op, _batch_id "
                f"from read_parquet([{listed}], hive_partitioning = false)"
            )
        return " union all by name ".join(parts)

    @contextmanager
    def _asked(self, files: Sequence[Path]) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The engine; an error in it is traced to the damaged commit that causes it."""
        import duckdb

        if self._engine is None:
            self._engine = duckdb.connect(config=self._engine_settings())
        try:
            yield self._engine
        except duckdb.Error as error:
            for path in files:
                verify_commit(self._raw, path)
            first_line = str(error).splitlines()[0]
            raise LakeError(
                f"what is landed of {self._table.spec.label} cannot be compared: {first_line}",
                "free memory and disk space, then run the same command again",
            ) from error

    def _engine_settings(self) -> dict[str, Any]:
        return {
            "threads": _THREADS,
            "memory_limit": _MEMORY,
            "temp_directory": str(self._scratch),
            "preserve_insertion_order": False,
        }
