"""Writing commits: a file appears complete, under its final name, or not at all.

Here belongs the sequence write, fsync, rename, fsync of the directory. Here does not belong the
choice of what to write or of the watermark.
"""

import errno
import fcntl
import os
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir, fsync_file
from lakehouse.raw.commits import FOOTER_KEY, CommitInfo, RawTable
from lakehouse.raw.schema import META_FIELDS, schema_hash

_TEMP_SUFFIX = ".tmp"
_INTEGER_DIGITS = 18
_ROW_GROUP_ROWS = 122_880
"""DuckDB's own row group size: one raw row group feeds one of its scan tasks."""


class CommitWriter:
    """Writes one commit; leaving the block without ``commit`` leaves nothing behind.

    The temporary name begins with a dot and does not end in ``.parquet``, so no reader's pattern
    matches it. The open file is locked: ``remove_orphans`` tells a live writer from a dead one.

    Args:
        table: The table that gets the commit.
        schema: The file's Arrow schema, as made by ``raw_schema``.
        batch_id: The commit's name, from ``new_batch_id``.
    """

    def __init__(self, table: RawTable, schema: pa.Schema, batch_id: str) -> None:
        self._table = table
        self._schema = schema
        self._batch_id = batch_id
        self._final = table.path_of(batch_id)
        self._temporary = self._final.with_name(f".{batch_id}{_TEMP_SUFFIX}")
        self._writer: pq.ParquetWriter | None = None
        self._lock: int | None = None
        self._rows = 0

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._rows

    def __enter__(self) -> Self:
        with _disk_errors(self._temporary):
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._writer = pq.ParquetWriter(
                self._temporary,
                self._schema,
                compression="zstd",
                write_page_checksum=True,
                store_decimal_as_integer=True,
                use_dictionary=[f.name for f in self._schema if not _is_delta_encoded(f)],
                column_encoding={
                    f.name: "DELTA_BINARY_PACKED" for f in self._schema if _is_delta_encoded(f)
                },
            )
        return self

    def write(self, data: pa.Table | pa.RecordBatch) -> None:
        """Append rows.

        Args:
            data: Rows in exactly the writer's schema.

        Raises:
            LakeError: The disk is full or refuses.
        """
        parquet = self._open_writer()
        with _disk_errors(self._temporary):
            parquet.write(data, row_group_size=_ROW_GROUP_ROWS)
        self._rows += data.num_rows

    def commit(
        self,
        *,
        kind: str,
        writer: str,
        extracted_at: datetime,
        upserts: int,
        deletes: int = 0,
        watermark_before: str | None = None,
        watermark_after: str | None = None,
        resume_position: dict[str, str] | None = None,
        cursor_min: str | None = None,
        cursor_max: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> CommitInfo:
        """Make the file visible. After this returns it survives a crash of the machine.

        Args: the attributes of ``CommitInfo`` of the same names.

        Raises:
            ValueError: No row was written, though it is no commit of a state, or the counts do not
                add up.
            LakeError: The disk is full or refuses.
        """
        parquet = self._open_writer()
        if (self._rows == 0 and kind != "state") or upserts + deletes != self._rows:
            raise ValueError(f"{self._rows} rows written, {upserts} upserts, {deletes} deletes")
        info = CommitInfo(
            batch_id=self._batch_id,
            source=self._table.source,
            table=self._table.table,
            kind=kind,
            watermark_before=watermark_before,
            watermark_after=watermark_after,
            resume_position=resume_position,
            rows=self._rows,
            upserts=upserts,
            deletes=deletes,
            cursor_min=cursor_min,
            cursor_max=cursor_max,
            schema_hash=schema_hash(self._schema),
            writer=writer,
            extracted_at=extracted_at,
            details=details or {},
        )
        with _disk_errors(self._temporary):
            parquet.add_key_value_metadata({FOOTER_KEY: info.to_json()})
            parquet.close()
            self._writer = None
            fsync_file(self._temporary)
            # A directory that is new itself must be durable before what is renamed into it.
            for folder in (self._final.parent.parent.parent, self._final.parent.parent):
                fsync_dir(folder)
            self._temporary.rename(self._final)
            fsync_dir(self._final.parent)
        return info

    def _open_writer(self) -> pq.ParquetWriter:
        if self._writer is None:
            raise RuntimeError("a commit is written inside its with block, and ends it")
        return self._writer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        except (OSError, pa.ArrowException):
            # The file is thrown away in the next line; the first error is the one to report.
            pass
        finally:
            self._temporary.unlink(missing_ok=True)
            if self._lock is not None:
                os.close(self._lock)


def _is_delta_encoded(field: pa.Field) -> bool:
    """Whether a column is written as differences of integers: half the time and never larger.

    Keys, numbers and times mostly grow from row to row. A dictionary of them costs the most of
    writing a file, and is thrown away when it has grown too large.
    """
    is_number = pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)
    is_money = pa.types.is_decimal128(field.type) and field.type.precision <= _INTEGER_DIGITS
    is_meta = field.name in {meta.name for meta in META_FIELDS}
    return (is_number or is_money or pa.types.is_date32(field.type)) and not is_meta


class _disk_errors:  # noqa: N801 - reads as a statement where it is used
    """Turns a refusing disk into a sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            cause = "the disk is full" if full else (error.strerror or str(error))
            raise LakeError(
                f"cannot write the raw file {self._path.parent}: {cause}; nothing was committed",
                "free space or mend the folder, then run the same command again",
            ) from error


def remove_orphans(table: RawTable) -> int:
    """Remove temporary files whose writer is dead.

    Returns:
        How many were removed.
    """
    removed = 0
    for temporary in table.directory.glob(f"*/.*{_TEMP_SUFFIX}"):
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            temporary.unlink(missing_ok=True)
            removed += 1
        finally:
            os.close(descriptor)
    return removed
