"""The PostgreSQL that comes with the project: real, private, there when somebody needs it.

It listens on a socket in its own data folder and on nothing else. Any number of processes may use
it at once: the first one in starts it, the last one out stops it.

Every user holds a shared ``flock`` on ``users.lock``, so the kernel keeps the count: a user killed
by ``kill -9`` is out of it at once. Whoever leaves asks for that lock exclusively and stops the
server if it gets it. ``alive.lock`` is held alike, but let go only after that; a server that has
lost all its users by ``kill -9`` is stopped by the watchman who waits for that one.

Here belongs who may start and stop the server and how to reach it; how that is done stands in
``demo.postgres.server``. Here does not belong anything about the tables in it.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from demo.postgres.account import EmbeddedPostgresError
from demo.postgres.folder import SUPERUSER
from demo.postgres.server import Server
from lakehouse.settings import Settings

__all__ = [
    "DATABASE",
    "EXTRACTOR_ROLE",
    "OWNER_ROLE",
    "SUPERUSER",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "stop_abandoned_server",
]

DATABASE = "shop_db"
OWNER_ROLE = "shop_owner"
EXTRACTOR_ROLE = "lake_extractor"

_WATCHMAN = Path(__file__).with_name("watch.py")
# Kept until they end, so that this process can take leave of them.
_watchmen: list[subprocess.Popen[bytes]] = []

# So that everyone can connect before anything is seeded and then hears that a table is missing.
_BOOTSTRAP = (
    f"create role {OWNER_ROLE} login",
    f"create role {EXTRACTOR_ROLE} login",
    f"create database {DATABASE} owner {OWNER_ROLE}",
)


class EmbeddedPostgres:
    """The project's PostgreSQL, up for as long as the context lasts.

    Args:
        settings: Its data lives in ``settings.postgres_dir``.

    Raises:
        EmbeddedPostgresError: On entering, when the server cannot be started.
    """

    def __init__(self, settings: Settings) -> None:
        self._home = settings.postgres_dir.resolve()
        self._server = Server(self._home, bootstrap=_BOOTSTRAP)
        self._holding: tuple[int, int] | None = None
        self._socket_dir: Path | None = None

    def __enter__(self) -> Self:
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with _flocked(self._home / "start.lock", fcntl.LOCK_EX):
                alive = _flock(self._home / "alive.lock", fcntl.LOCK_SH)
                users = _flock(self._home / "users.lock", fcntl.LOCK_SH)
                try:
                    self._socket_dir = self._server.ensure_running().socket_dir
                    if self._server.is_ours:
                        _start_watchman(self._home)
                except BaseException:
                    os.close(users)
                    os.close(alive)
                    raise
                self._holding = (users, alive)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"the embedded PostgreSQL in {self._home} cannot be used: {error}",
                "check the free space and the permissions there, then run this again",
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._holding is None:
            return
        with _flocked(self._home / "start.lock", fcntl.LOCK_EX):
            users, alive = self._holding
            _unlock(users)
            self._holding = self._socket_dir = None
            try:
                _stop_if_unused(self._home, self._server)
            finally:
                _unlock(alive)

    def dsn(self, role: str = EXTRACTOR_ROLE, database: str = DATABASE) -> str:
        """The address of a database, as a connection URI.

        Args:
            role: Who connects; the socket's folder keeps strangers out, so nobody has a password.
            database: Which database.

        Raises:
            EmbeddedPostgresError: The context is not open.
        """
        if self._socket_dir is None:
            raise EmbeddedPostgresError(
                "the embedded PostgreSQL is not started", "use it inside its `with` block"
            )
        host = quote(str(self._socket_dir), safe="")
        return f"postgresql://{quote(role)}@/{quote(database)}?host={host}&port=5432"


def stop_abandoned_server(settings: Settings) -> bool:
    """Stop an embedded server whose users were all killed, and its watchman with them.

    Returns:
        False when somebody uses the server, so that it goes on.
    """
    home = settings.postgres_dir.resolve()
    if not home.exists():
        return True
    with _flocked(home / "start.lock", fcntl.LOCK_EX):
        return _stop_if_unused(home, Server(home))


def _stop_if_unused(home: Path, server: Server) -> bool:
    try:
        with _flocked(home / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            server.stop()
    except BlockingIOError:
        return False
    return True


def _start_watchman(home: Path) -> None:
    # Isolated and without site-packages: it costs 10 ms of processor time and 8 MB.
    command = [sys.executable, "-I", "-S", str(_WATCHMAN), str(home)]
    nothing = subprocess.DEVNULL
    _watchmen[:] = [watchman for watchman in _watchmen if watchman.poll() is None]
    # Without him the next user does his work.
    with suppress(OSError):
        _watchmen.append(
            subprocess.Popen(
                command,
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                start_new_session=True,
                cwd="/",
            )
        )


@contextmanager
def _flocked(path: Path, operation: int) -> Iterator[None]:
    descriptor = _flock(path, operation)
    try:
        yield
    finally:
        _unlock(descriptor)


def _unlock(descriptor: int) -> None:
    # By name, not only by closing it: a forked child may have a copy.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _flock(path: Path, operation: int) -> int:
    # flock needs no right to write, so a file that root once made serves everybody.
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
