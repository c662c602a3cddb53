"""Rows that had no cursor when they were landed and have got one since, perhaps an old one.

Such a row is read neither among those without a cursor nor above the watermark. All rows that have
no cursor in the source have just been landed, so those whose latest version in raw has none contain
them: equal counts are equal rows here, and where raw has more, the others are read by their keys.

Here belongs finding them. Here does not belong reading or landing them.
"""

import json
from pathlib import Path

import pyarrow as pa

from ingest.postgres.known import History, numbered
from ingest.postgres.read import UPSERT
from ingest.postgres.types import literal


def rows_without_cursor(history: History) -> pa.Table:
    """The keys whose latest version in raw has no cursor.

    Raises:
        RawFileError: A commit on which the answer depends is damaged.
    """
    table = history.table
    schema = pa.schema([(column.name, column.type.arrow) for column in table.key])
    files = _since_first_null(history)
    if table.cursor is None or not files:
        return schema.empty_table()
    columns = [*table.key_names, table.cursor.name, "_unrepresentable"]
    *keys, cursor, beside = numbered(columns)
    key = ", ".join(keys)
    # A cursor that no Arrow type holds is NULL too, and its text stands beside it.
    name = literal(f"{json.dumps(table.cursor.name, ensure_ascii=False)}:")
    is_null = f"{cursor} is null and not coalesce(contains({beside}, {name}), false)"
    scan = history.scan(files, columns)
    with history.asked(files) as engine:
        found: pa.Table = engine.sql(
            f"""
            with scanned as ({scan}),
            versions as (
                select * from scanned semi join (select {key} from scanned where {is_null})
                using ({key})
                qualify row_number() over (partition by {key} order by batch desc) = 1
            )
            select {key} from versions where {is_null} and op = {literal(UPSERT)} order by {key}
            """
        ).to_arrow_table()
    return found.rename_columns(list(table.key_names)).cast(schema)


def _since_first_null(history: History) -> list[Path]:
    infos = history.infos()
    for place, info in enumerate(infos.values()):
        if info.details.get("null_cursors", 1) and info.upserts:
            return list(infos)[place:]
    return []
