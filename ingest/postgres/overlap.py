"""What is read twice on purpose, and how little of it has to be looked at twice.

Every run reads from below the watermark, so most of what an idle run reads is landed already. Here
belongs telling which commits can hold it, and recognizing a block of rows that the run before has
found to be landed: then neither a footer nor DuckDB is needed.
"""

import hashlib
import re
from decimal import Decimal

import pyarrow as pa

from ingest.postgres.state import Checkpoint, Position, TableState

MOST_BLOCKS = 16
"""A run that reads more than so many blocks is not idle; its blocks are not remembered."""

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2}(\.\d+)?(\+00)?)?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def reaches(cursor: str | None, start: str | Position) -> bool:
    """Whether a cursor is at or above a start, both PostgreSQL's exact texts of one type.

    PostgreSQL's ISO texts of years 1 to 9999 sort like the times they mean: the fraction has no
    trailing zeros, and the plus of the zone sorts before the point. Whatever is not such a text
    (infinity, BC, NaN, NULL) counts as above: looking into a commit in vain is harmless.
    """
    lower = start.cursor if isinstance(start, Position) else start
    if cursor is None:
        return True
    if _ISO.fullmatch(cursor) and _ISO.fullmatch(lower):
        return cursor >= lower
    if _NUMBER.fullmatch(cursor) and _NUMBER.fullmatch(lower):
        return Decimal(cursor) >= Decimal(lower)
    return True


def fingerprint(rows: pa.Table) -> str:
    """Identify a block of rows by all that raw will hold of it but when it was read.

    Args:
        rows: As ``as_raw`` makes them.
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


class KnownBlocks:
    """The blocks that the run before found landed, and those that this run has read.

    Args:
        checkpoint: Names blocks all of whose rows are the latest versions in raw, as raw is when
            this run begins.
        state: Where the table stands; a first load reads nothing that is read again.
    """

    def __init__(self, checkpoint: Checkpoint | None, state: TableState) -> None:
        self._before = frozenset(checkpoint.landed_blocks if checkpoint else ())
        self._read: list[str] | None = None if state.watermark is None else []

    def recognizes(self, rows: pa.Table) -> bool:
        """Note a block, and say whether it is landed for certain."""
        if self._read is None:
            return False
        mark = fingerprint(rows)
        self._read.append(mark)
        if len(self._read) > MOST_BLOCKS:
            self._read = None
        return mark in self._before

    def landed(self) -> tuple[str, ...]:
        """The blocks of this run: when it has ended, all their rows are in raw."""
        return tuple(sorted(set(self._read or ())))
