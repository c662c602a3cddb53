"""The server process over one PostgreSQL data folder: start it, look at it, stop it.

Who may start or stop it, and when, is decided in ``demo.postgres.embedded``, which calls every
function here that changes something under its lock.

The wheel's own Python wrapper is not used: it counts its users by process id in a file, so one
``kill -9`` keeps its server up for ever; it shares one lock file in the temporary folder between
all users of a machine; as root it opens every parent folder, /root included, for reading.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from demo.postgres.account import EmbeddedPostgresError, choose_account, open_way
from demo.postgres.folder import (
    SOCKET_NAME,
    check_version,
    find_binaries,
    make_folder,
    run_as,
    setting_flags,
    socket_folder,
)

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_SILENT_SECONDS = 0.5
_POLL_SECONDS = 0.003
_START_ATTEMPTS = 6
_LOG_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Running:
    """What a server says about itself in its pid file."""

    pid: int
    socket_dir: Path
    status: str


class Server:
    """The server over the data folder ``<home>/cluster``.

    Args:
        home: Folder of the data folder, the server's log and the locks; it exists.
        bootstrap: SQL statements, one line each, that a new data folder starts with.
    """

    def __init__(self, home: Path, *, bootstrap: tuple[str, ...] = ()) -> None:
        self.folder = home / "cluster"
        self.log = home / "server.log"
        self._pid_file = self.folder / "postmaster.pid"
        self._bootstrap = bootstrap
        self._children: list[subprocess.Popen[bytes]] = []

    def running(self) -> Running | None:
        """The server that answers now, ready or not; None if none does."""
        try:
            lines = self._pid_file.read_text(encoding="utf-8").splitlines()
            found = Running(int(lines[0]), Path(lines[4]), lines[7].strip())
        except (FileNotFoundError, ValueError, IndexError):
            return None
        except PermissionError:
            choose_account(self.folder)
            raise
        return found if _answers(found.socket_dir) else None

    def ensure_running(self) -> Running:
        """Make the data folder if it is missing, start the server if it is not running.

        Returns:
            The server, ready for connections.

        Raises:
            EmbeddedPostgresError: The folder cannot be used or the server does not start.
        """
        self.reap()
        deadline = time.monotonic() + _START_SECONDS
        child: subprocess.Popen[bytes] | None = None
        attempts = 0
        while time.monotonic() < deadline:
            server = self.running()
            if server is not None and server.status == "ready":
                return server
            if server is None and (child is None or child.poll() is not None):
                if attempts == _START_ATTEMPTS:
                    break
                # The remains of a killed server need a moment to end.
                time.sleep(0.1 * attempts)
                attempts += 1
                child = self._start()
            time.sleep(_POLL_SECONDS)
        raise EmbeddedPostgresError(
            f"PostgreSQL did not start: {self._last_words()}", f"read {self.log}"
        )

    def stop(self) -> None:
        """Stop the server cleanly and at once if that takes too long; harmless when none runs."""
        server = self.running()
        if server is None:
            return
        for signal_number in (signal.SIGINT, signal.SIGQUIT):
            try:
                os.kill(server.pid, signal_number)
            except ProcessLookupError:
                break
            if self._wait_until_gone():
                break
        if server.socket_dir != self.folder:
            with contextlib.suppress(OSError):
                server.socket_dir.rmdir()
        self.reap()

    @property
    def is_ours(self) -> bool:
        """Whether this object started the server that runs now."""
        return any(child.poll() is None for child in self._children)

    def reap(self) -> None:
        """Forget servers that this process started and that have ended."""
        self._children = [child for child in self._children if child.poll() is None]

    def _wait_until_gone(self) -> bool:
        # The pid file is the last thing a server removes, unless it was killed. Its process may
        # stay on as a zombie of whoever started it, so the process table is not asked.
        deadline = time.monotonic() + _STOP_SECONDS
        silent_since: float | None = None
        while self._pid_file.exists():
            now = time.monotonic()
            if now > deadline:
                return False
            silent_since = (silent_since or now) if self.running() is None else None
            if silent_since is not None and now - silent_since > _SILENT_SECONDS:
                return True
            time.sleep(_POLL_SECONDS)
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        account = choose_account(self.folder)
        if not self.folder.exists():
            make_folder(self.folder, account, self._bootstrap)
        check_version(self.folder)
        binaries = find_binaries()
        open_way(account, self.folder, binaries)
        sockets = socket_folder(self.folder, account)
        for lock_file in (self._pid_file, sockets / f"{SOCKET_NAME}.lock"):
            if self._is_stale(lock_file):
                lock_file.unlink()
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        options = {
            "listen_addresses": "",
            "port": SOCKET_NAME.rpartition(".")[2],
            "unix_socket_directories": f'"{sockets}"',
            "unix_socket_permissions": "0700",
        }
        command = [str(binaries / "postgres"), "-D", str(self.folder), *setting_flags(options)]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for us, not for the server.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **run_as(account),
            )
        self._children.append(child)
        return child

    def _is_stale(self, lock_file: Path) -> bool:
        """Whether a lock file names a process that is not this server.

        PostgreSQL itself sees to a dead number, but takes any living process of its own account,
        and a zombie, for a running server.
        """
        try:
            pid = int(lock_file.read_text(encoding="utf-8").split("\n", 1)[0])
        except FileNotFoundError:
            return False
        except ValueError:
            return True  # left empty by a crash of the machine
        import psutil

        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
                return True
            return Path(process.cwd()) != self.folder
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-50:]
        except FileNotFoundError:
            return "it left no log"
        fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
        return (fatal or lines or ["its log is empty"])[-1]


def _answers(socket_dir: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(socket_dir / SOCKET_NAME))
        except OSError as error:
            # A full queue is a living server.
            return error.errno == errno.EAGAIN
    return True
