"""Hard deletes: keys that are live in raw and gone from the source become tombstones.

Every row that the snapshot shows has been landed, so the live keys contain the source's. Then equal
counts mean equal keys, and only unequal ones make it necessary to read all keys.

Here belongs the comparison and the guard against deleting too much.
"""

from dataclasses import dataclass

from ingest.postgres.catalog import SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.errors import DeletesRefusedError
from ingest.postgres.history import History
from ingest.postgres.queries import as_keys, count_query, keys_query

ALWAYS_ALLOWED = 10
"""So many rows may disappear whatever their share: five of a table of eight are no accident."""


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """How the live keys in raw and the keys in the source differ.

    Attributes:
        live: Live keys in raw.
        in_source: Rows in the source.
        gone: Live keys that the source does not have.
        missing: Keys of the source that are not live: their rows were never landed, because
            their cursor lies below what is read, or were tombstoned and came back unchanged.
    """

    live: int
    in_source: int
    gone: int
    missing: int


def compare_keys(
    connection: Connection, table: SourceTable, history: History, live: int
) -> KeyDifference:
    """Compare keys; must run in the snapshot, after all its rows are landed.

    Args:
        connection: In the snapshot.
        table: The table.
        history: What is landed, this run's commits included.
        live: How many keys are live in raw.
    """
    in_source = int(connection.row(count_query(table))["rows"])
    if in_source == live:
        return KeyDifference(live, in_source, 0, 0)
    keys = as_keys(table, connection.stream(keys_query(table)))
    gone, missing = history.load_keys(keys)
    return KeyDifference(live, in_source, gone, missing)


def refuse_too_many(table: SourceTable, difference: KeyDifference) -> None:
    """Stop before tombstones that look like an accident.

    Raises:
        DeletesRefusedError: The source is empty, or too large a share of the rows is gone.
    """
    gone, live, limit = difference.gone, difference.live, table.spec.max_delete_share
    name = f"{table.spec.schema}.{table.spec.name}"
    override = (
        f"look at the source; if the rows are really gone, run "
        f"`lake extract {table.spec.name} --allow-deletes`"
    )
    if gone and difference.in_source == 0:
        raise DeletesRefusedError(
            f"{name} is empty at the source: that would delete all {live:,} rows (100 %), "
            "which is never done unasked",
            override,
        )
    if gone > ALWAYS_ALLOWED and gone > limit * live:
        raise DeletesRefusedError(
            f"{gone:,} of {live:,} rows of {name} are gone from the source: that would delete "
            f"{gone / live:.0%}, more than {limit:.0%}",
            override,
        )
