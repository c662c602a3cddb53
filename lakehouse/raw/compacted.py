"""The footer of a file that holds several commits: their names and their complete footers.

Here belongs reading and writing that footer. Here does not belong which commits share a file, or
making one (``compact``).
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lakehouse.raw.errors import RawFileError, first_line

FOOTER_KEY = b"lake.compaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What the footer of a file of several commits says.

    Attributes:
        name: The file's name without its suffix.
        source: Source of the table.
        table: Name of the table.
        rows: Rows in the file.
        footers: The batch id of each commit in it, in batch order, to that commit's own footer,
            byte for byte.
    """

    name: str
    source: str
    table: str
    rows: int
    footers: Mapping[str, bytes]

    def to_json(self) -> bytes:
        """The footer's value. Names stay legible; footers, mostly alike, are packed."""
        fields = {
            "name": self.name,
            "source": self.source,
            "table": self.table,
            "rows": self.rows,
            "replaces": list(self.footers),
            "footers": base64.b64encode(zlib.compress(b"\n".join(self.footers.values()))).decode(),
        }
        return json.dumps(fields, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Compaction":
        """Read a footer's value.

        Raises:
            ValueError, KeyError, TypeError, zlib.error: It is not one.
        """
        fields = json.loads(data)
        footers = zlib.decompress(base64.b64decode(fields.pop("footers"))).split(b"\n")
        return cls(footers=dict(zip(fields.pop("replaces"), footers, strict=True)), **fields)


def read_compaction(path: Path) -> Compaction:
    """Read the footer of a file of several commits.

    Raises:
        RawFileError: It is not a readable one.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise RawFileError(path, first_line(error)) from error
    return _read(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=64)
def _read(path: Path, version: tuple[int, ...]) -> Compaction:
    # Imported here: a listing that is cached opens no file.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        found = Compaction.from_json((metadata.metadata or {})[FOOTER_KEY])
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError, zlib.error) as error:
        cause = "no footer of a compaction" if isinstance(error, KeyError) else first_line(error)
        raise RawFileError(path, cause) from error
    if found.rows != metadata.num_rows:
        raise RawFileError(path, f"{metadata.num_rows} rows where its footer says {found.rows}")
    if found.name != path.stem:
        raise RawFileError(path, f"it is {found.name} of {found.source}.{found.table}")
    return found
