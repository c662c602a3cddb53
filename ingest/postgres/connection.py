"""One connection to PostgreSQL, reading Arrow record batches.

Here belong connecting, session settings, transactions and the translation of driver errors. Here
does not belong any statement about a particular table.

The driver's low-level interface is used because its DB-API costs a second import and hides how a
stream ends. All statements of a run go over this one connection, so that they share one snapshot.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import pyarrow as pa

from ingest.postgres.report import (
    ConnectionLostError,
    SourceError,
    UnreachableError,
    masked,
    server_message,
)

_STATEMENT_OPTIONS = {"adbc.postgresql.batch_size_hint_bytes": str(8 << 20)}

# Whatever turns a value into text or hides a row is fixed here, so that the same row gives the same
# text in every session, and a row-level policy becomes an error and not a silent loss.
_SESSION = {
    "application_name": "lake extract",
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "row_security": "off",
    "statement_timeout": "0",
    # Somebody who changes the table is waited for, but not for ever: behind us others would wait.
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0",
}

# A server or network that is gone is noticed within about a minute, not after two hours.
_NETWORK = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

_LOCK_WAIT = "30 s"
_LOCK_NOT_AVAILABLE = "55P03"
_LOCK_TIMEOUT = "due to lock timeout"
_IN_FAILED_TRANSACTION = "25P02"
_TEMPORARY = {
    "57P01",  # terminated by an administrator
    "57P02",  # crash of another backend
    "57P03",  # starting up
    "57P05",  # idle session timeout
    "25P03",  # idle in transaction timeout
    "25P04",  # transaction timeout
    "40001",  # a standby cancels a query that stands in recovery's way
}
_RECOVERY_CONFLICT = "conflict with recovery"

Row = Mapping[str, Any]


class Connection:
    """A connection, open from the start of its block to the end.

    Args:
        dsn: libpq connection string or URI. Errors never show its password.

    Raises:
        UnreachableError: On entering, when no connection can be had.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._database: adbc.AdbcDatabase | None = None
        self._connection: adbc.AdbcConnection | None = None

    def __enter__(self) -> Self:
        if refused := self._open():
            # Raised out here, so that no chain of causes carries what libpq said to a log.
            self.close()
            raise refused
        return self

    def _open(self) -> UnreachableError | None:
        try:
            self._database = adbc_driver_postgresql.connect(with_network_defaults(self._dsn))
            self._connection = adbc.AdbcConnection(self._database)
            settings = (f"set_config('{n}', '{value}', false)" for n, value in _SESSION.items())
            self.execute(f"select {', '.join(settings)}")
        except adbc.Error as error:
            return self._refused(error)
        except SourceError as error:
            return UnreachableError(error.cause, error.next_step)
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; the server rolls back what is open."""
        for handle in (self._connection, self._database):
            if handle is not None:
                try:
                    handle.close()
                except adbc.Error:
                    # Nothing is lost with a read-only connection that cannot say goodbye.
                    continue
        self._connection = self._database = None

    def execute(self, sql: str) -> None:
        """Run a statement and ignore what it returns.

        Raises:
            ConnectionLostError: The connection broke.
            SourceError: The server refused.
        """
        for _ in self.stream(sql):
            pass

    def rows(self, sql: str) -> list[Row]:
        """Run a query whose result is small.

        Raises:
            ConnectionLostError: The connection broke.
            SourceError: The server refused.
        """
        return [row for batch in self.stream(sql) for row in batch.to_pylist()]

    def row(self, sql: str) -> Row:
        """Run a query that gives exactly one row; raises like ``rows``."""
        (row,) = self.rows(sql)
        return row

    def stream(self, sql: str) -> Generator[pa.RecordBatch, None, None]:
        """Run a query and yield its result in batches of about 8 MB.

        The connection is busy until the iterator is exhausted.

        Raises:
            ConnectionLostError: The connection broke.
            SourceError: The server refused.
        """
        with self._translated():
            if self._connection is None:
                raise ConnectionLostError("the connection is closed", "run the same command again")
            with adbc.AdbcStatement(self._connection) as statement:
                statement.set_options(**_STATEMENT_OPTIONS)
                statement.set_sql_query(sql)
                handle, _ = statement.execute_query()
                with pa.RecordBatchReader._import_from_c(handle.address) as reader:
                    yield from reader

    def begin_snapshot(self) -> None:
        """Read everything from now on from one state of the database, changing nothing.

        Closing the connection ends it. The snapshot is taken by the next statement.
        """
        self.execute("begin isolation level repeatable read read only")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        refused: SourceError | None = None
        try:
            yield
        except (adbc.Error, pa.ArrowException, OSError) as error:
            refused = self._translation(error)
        if refused:
            raise refused from None

    def _translation(self, error: BaseException) -> SourceError:
        message = masked(server_message(error), self._secrets())
        if self._is_lost(error):
            return ConnectionLostError(
                f"the connection to PostgreSQL broke: {message}", "run the same command again"
            )
        if getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE or _LOCK_TIMEOUT in message:
            return SourceError(
                f"the table is locked by somebody else for more than {_LOCK_WAIT}",
                "run this again when the change at the source has ended",
            )
        return SourceError(
            f"PostgreSQL refused: {message}", "correct that at the source, then run this again"
        )

    def _secrets(self) -> list[str]:
        """The passwords in the connection string."""
        found = _parsed(self._dsn) or {}
        return [str(found[name]) for name in ("password", "sslpassword") if found.get(name)]

    def _is_lost(self, error: BaseException) -> bool:
        if getattr(error, "sqlstate", None) in _TEMPORARY or _RECOVERY_CONFLICT in str(error):
            return True
        if self._connection is None:
            return True
        # An error inside a stream has no SQLSTATE, so the connection itself is asked.
        try:
            with adbc.AdbcStatement(self._connection) as statement:
                statement.set_sql_query("select 1")
                statement.execute_query()
        except adbc.Error as probe:
            return probe.sqlstate != _IN_FAILED_TRANSACTION
        return False

    def _refused(self, error: adbc.Error) -> UnreachableError:
        parsed = _parsed(self._dsn)
        if (
            parsed is None
            or any(sign in str(parsed.get("host", "")) for sign in "@:?#")
            or ("@" in str(parsed.get("port", "")))
        ):
            # What libpq stumbles over, or takes for a host's name, may be a part of the password.
            return UnreachableError(
                "the source's address is not a PostgreSQL connection string",
                "write it like postgresql://user:password@host:5432/database, special characters "
                "in percent encoding",
            )
        message = masked(server_message(error), self._secrets())
        return UnreachableError(
            f"the source database does not answer: {message.split(' Is the server running')[0]}",
            "check that it runs, and its address: `lake source list` says which variable holds it",
        )


def _parsed(dsn: str) -> dict[str, Any] | None:
    """A connection string as libpq reads it; None if it cannot. Only asked when something fails."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return dict(conninfo_to_dict(dsn))
    except psycopg.Error:
        return None


def with_network_defaults(dsn: str) -> str:
    """Add timeouts to a connection string that does not set them itself.

    Args:
        dsn: URI or keyword form.
    """
    missing = {
        name: value
        for name, value in _NETWORK.items()
        if not re.search(rf"(?:^|[\s?&]){name}\s*=", dsn)
    }
    if "://" not in dsn:
        return " ".join([dsn, *(f"{name}={value}" for name, value in missing.items())])
    query = "&".join(f"{name}={value}" for name, value in missing.items())
    if not query:
        return dsn
    return f"{dsn}{'&' if '?' in dsn else '?'}{query}"
