"""What becomes of a table whose columns changed since it was landed.

A new column is landed from now on, a dropped one no longer, and both are said. A column whose type
changed stops the table: one Arrow type for a column, for ever.
"""

import pyarrow as pa

from ingest.postgres.catalog import SourceTable
from ingest.postgres.errors import SourceError
from ingest.postgres.history import History
from ingest.postgres.state import TableState
from lakehouse.raw import META_FIELDS, schema_hash


def check_drift(table: SourceTable, state: TableState, history: History) -> list[str]:
    """Compare a table's columns with those landed.

    Args:
        table: As it is now.
        state: Where it stands.
        history: What is landed.

    Returns:
        A sentence for each change since the newest commit.

    Raises:
        SourceError: A column has another type than it once was landed with.
    """
    if state.commits == 0 or (
        state.last and not state.broken and state.last.schema_hash == schema_hash(table.schema)
    ):
        return []
    for schema in history.schemas().values():
        _refuse_retyped(table, schema, state)
    newest = list(history.infos().values())[-1]
    landed = set(history.schemas()[newest.schema_hash].names)
    now = set(table.schema.names)
    label = table.spec.label
    return [
        *(
            f"new column {name}: landed from now on; `lake extract {table.spec.name} --full` lands "
            "its values in older rows too"
            for name in table.schema.names
            if name not in landed
        ),
        *(f"column {name} is gone from {label}: not landed any more" for name in landed - now),
    ]


def _refuse_retyped(table: SourceTable, landed: pa.Schema, state: TableState) -> None:
    meta = {field.name for field in META_FIELDS}
    before = (state.last.details.get("source_types") or {}) if state.last else {}
    for column in table.columns:
        place = landed.get_field_index(column.name)
        if column.name in meta or place < 0 or landed.field(place).type == column.type.arrow:
            continue
        was, now = before.get(column.name, column.pg_type), column.pg_type
        if was == now:
            was, now = str(landed.field(place).type), str(column.type.arrow)
        raise SourceError(
            f"column {column.name} of {table.spec.schema}.{table.spec.name} was {was} and is now "
            f"{now}; a landed column keeps its type, so nothing was read",
            f"change the type back, or move data/raw/{table.spec.source}/{table.spec.name} away "
            f"and run `lake extract {table.spec.name}` to land the table anew",
        )
