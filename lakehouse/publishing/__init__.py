"""Publishing: a finished, fully green build becomes one immutable version that everybody reads.

Here belong what holds a build back, the copy into a version, and the versions on disk. Here
does not belong dbt: ``lakehouse.dbt.plugin`` calls this at the start and the end of each run.
"""

from lakehouse.publishing.switch import is_rolled_back, rollback
from lakehouse.publishing.versions import (
    NoVersionError,
    Version,
    current_id,
    current_version,
    find_version,
    list_versions,
    open_published,
)

__all__ = [
    "NoVersionError",
    "Version",
    "current_id",
    "current_version",
    "find_version",
    "is_rolled_back",
    "list_versions",
    "open_published",
    "rollback",
]
