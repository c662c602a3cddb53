"""What the extractor says about a table that is listed, or would be.

Here belongs asking ``ingest.postgres``; nothing else in this package does. So what is proposed and
checked here is judged as an extraction would judge it.
"""

from dataclasses import dataclass

from ingest.postgres.catalog import SourceTable, read_table
from ingest.postgres.connection import Connection
from ingest.postgres.identity import Change, read_relations
from ingest.postgres.watermark import ServerBound, guarantee, read_server_bound
from ingest.sources import TableSpec


@dataclass(frozen=True, slots=True)
class Judged:
    """A table that can be extracted.

    Attributes:
        table: What it is.
        guarantee: How sure it is that nothing is missed: ``exact``, ``full``, or the lookback and
            why it is needed.
    """

    table: SourceTable
    guarantee: str


class Extractor:
    """The extractor's eyes on one database.

    Args:
        connection: To it.

    Raises:
        SourceError: The server refused.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._server: ServerBound = read_server_bound(connection, ())

    def judge(self, spec: TableSpec) -> Judged:
        """Look at a table as an extraction would.

        Raises:
            SourceError: It cannot be extracted as declared.
        """
        relations = read_relations(self.connection, [spec])
        table = read_table(self.connection, spec, relations.get((spec.schema, spec.relation), ()))
        return Judged(table, guarantee(table, self._server, Change()))
