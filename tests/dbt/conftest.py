"""Servers for the tests of this folder."""

from support.servers import pg_dsn, pg_server, server_root

__all__ = ["pg_dsn", "pg_server", "server_root"]
