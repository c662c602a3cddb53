"""The columns that every raw file carries beside its source's own.

Here belongs the Arrow schema of a raw file. Here does not belong the mapping of a source's types:
each extractor owns its own.
"""

import hashlib

import pyarrow as pa

META_FIELDS: tuple[pa.Field, ...] = (
    pa.field("_batch_id", pa.string(), nullable=False),
    pa.field("_op", pa.string(), nullable=False),
    pa.field("_extracted_at", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("_unrepresentable", pa.string()),
)
"""Batch id; ``upsert`` or ``delete``; clock of the snapshot that saw the row; and NULL or a JSON
object of column to exact source text, for values that the column's Arrow type cannot hold."""

_META_NAMES = frozenset(f.name for f in META_FIELDS)


def raw_schema(source_columns: pa.Schema) -> pa.Schema:
    """Append the meta columns to a source's columns.

    Args:
        source_columns: The source's columns in their order; none may be named like a meta column.

    Raises:
        ValueError: A source column has the name of a meta column.
    """
    clash = _META_NAMES & set(source_columns.names)
    if clash:
        raise ValueError(f"source columns named like meta columns: {', '.join(sorted(clash))}")
    # Tombstones carry only the key, so every source column can be NULL in raw.
    return pa.schema([*(f.with_nullable(True) for f in source_columns), *META_FIELDS])


def schema_hash(schema: pa.Schema) -> str:
    """Identify a schema by its source columns' names and types, in order.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    text = "\n".join(f"{f.name} {f.type}" for f in schema if f.name not in _META_NAMES)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
