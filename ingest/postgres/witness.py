"""Whether the source still shows the newest rows that were read from it.

A server that was stopped, put back to an older copy and started tells nothing by its log once that
has grown past where it was. Its rows do: the newest ones in raw are older in it, or missing.

Here belongs asking after these rows. Here does not belong what follows from the answer.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.postgres.catalog import Column, SourceTable
from ingest.postgres.connection import Connection
from ingest.postgres.known import History
from ingest.postgres.read import column_sql, from_sql
from ingest.postgres.types import postgres_text, typed

_COMMITS = 5
_ROWS = 50


def went_back(connection: Connection, history: History) -> bool:
    """Whether some of the newest landed rows are gone from the source or older there.

    Must run in the snapshot. A few deleted rows look the same; then all is read for nothing.

    Raises:
        RawFileError: A commit is damaged.
    """
    table = history.table
    cursor = table.cursor
    newest = _newest_rows(history, cursor) if cursor else None
    if cursor is None or newest is None:
        return False
    ordered = (*table.key, cursor)
    names = [f"w{number}" for number, _ in enumerate(ordered)]
    texts = (map(postgres_text, newest.column(column.name).to_pylist()) for column in ordered)
    values = ", ".join(
        f"({', '.join(typed(t, c.cast_type) for t, c in zip(row, ordered, strict=True))})"
        for row in zip(*texts, strict=True)
    )
    same = " and ".join(
        f"{column_sql(column)} = witness.{name}"
        for column, name in zip(table.key, names[:-1], strict=True)
    )
    found = connection.row(
        f"""
        select exists(
            select from (values {values}) as witness ({", ".join(names)})
            where not exists (
                select from {from_sql(table)}
                where {same} and {column_sql(cursor)} >= witness.{names[-1]}
            )
        ) as gone
        """
    )
    return bool(found["gone"])


def _newest_rows(history: History, cursor: Column) -> pa.Table | None:
    """Some rows with the largest cursors among the newest commits."""
    table: SourceTable = history.table
    columns = [*dict.fromkeys((*table.key_names, cursor.name))]
    files = [path for path, info in history.infos().items() if info.upserts][-_COMMITS:]
    types = pa.schema([(c.name, c.type.arrow) for c in table.columns if c.name in columns])
    rows = []
    for path in files:
        schema = pq.read_schema(path)
        if all(name in schema.names and schema.field(name).type == types.field(name).type
               for name in columns):  # fmt: skip
            rows.append(pq.read_table(path, columns=columns, partitioning=None))
    if not rows:
        return None
    found = pa.concat_tables(rows).drop_null()
    latest = pc.select_k_unstable(found, _ROWS, sort_keys=[(cursor.name, "descending")])
    return found.take(latest) if found.num_rows else None
