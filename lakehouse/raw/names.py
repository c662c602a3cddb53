"""How commits, their folders and the files of several commits are named.

Pure, and importable without pyarrow: whoever only looks at names must answer at once.
"""

import secrets
from datetime import UTC, datetime, timedelta

DAY_PREFIX = "load_date="
"""Begins the name of the folder of one UTC day; a commit stands in that of its own batch id."""
SUFFIX = ".parquet"
COMPACTED_PREFIX = "compacted-"
"""Begins the name of a file that holds several commits."""
TEMPORARY_SUFFIX = ".tmp"
SET_ASIDE_SUFFIX = ".set-aside"

_ID_FORMAT = "%Y%m%dT%H%M%S%f"


def new_batch_id(after: str | None = None) -> str:
    """Name the next commit of a table.

    Args:
        after: The newest batch id of the same table and writer; the result sorts after it even
            when the clock has gone back.

    Returns:
        UTC time to the microsecond and six random hexadecimal digits, so that two writers never
        choose the same name.
    """
    now = datetime.now(UTC)
    if after is not None:
        now = max(now, batch_time(after) + timedelta(microseconds=1))
    return f"{now.strftime(_ID_FORMAT)}Z-{secrets.token_hex(3)}"


def batch_time(batch_id: str) -> datetime:
    """The UTC time in a batch id.

    Raises:
        ValueError: It is not a batch id.
    """
    return datetime.strptime(batch_id.split("Z-")[0], _ID_FORMAT).replace(tzinfo=UTC)


def day_folder(batch_id: str) -> str:
    """Name of the folder that a commit stands in."""
    return f"{DAY_PREFIX}{batch_time(batch_id):%Y-%m-%d}"


def is_compacted(stem: str) -> bool:
    """Whether a data file without its suffix holds several commits."""
    return stem.startswith(COMPACTED_PREFIX)


def compacted_at(stem: str) -> datetime:
    """When a file of several commits was begun (UTC).

    Raises:
        ValueError: It is not the name of one.
    """
    return batch_time(stem.removeprefix(COMPACTED_PREFIX))
