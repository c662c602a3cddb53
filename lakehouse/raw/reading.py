"""The SQL with which DuckDB reads the rows of commits, from whichever files hold them.

Here belongs that text. Here does not belong running it, or which commits are wanted.
"""

from collections.abc import Sequence

from lakehouse.raw.commits import Slice


def rows_sql(slices: Sequence[Slice], *, by_name: bool = False) -> str:
    """What stands after FROM to read commits: a subquery with the columns of their files.

    Args:
        slices: Where they are, at least one; see ``RawTable.slices``.
        by_name: Whether files may have different columns; one that a file lacks is NULL there.
            Without it, all have to have the same.
    """
    options = f"hive_partitioning = false, union_by_name = {str(by_name).lower()}"
    whole = ", ".join(_literal(str(part.path)) for part in slices if part.is_whole)
    parts = [f"select * from read_parquet([{whole}], {options})"] if whole else []
    for part in slices:
        if not part.is_whole:
            read = f"read_parquet({_literal(str(part.path))}, {options})"
            ids = ", ".join(map(_literal, part.batch_ids))
            parts.append(f"select * from {read} where _batch_id in ({ids})")
    union = " union all by name " if by_name else " union all "
    return f"({union.join(parts)})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
