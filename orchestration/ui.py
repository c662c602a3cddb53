"""The Dagster UI as one process tree that starts and ends as a whole.

``dagster dev`` starts a web server, a daemon and a code server; runs are children of the latter.
Here belongs starting them on the loopback, waiting until they answer, and leaving nothing behind.
Must not import Dagster: that alone would take seconds before the first word is said.
"""

import errno
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from lakehouse.errors import LakeError
from lakehouse.locks import current_holder
from lakehouse.settings import Settings
from orchestration.dagster_home import dagster_environment

HOST = "127.0.0.1"
DEFAULT_PORT = 3000

_STOP_SECONDS = 30.0
_INSIST_SECONDS = 5.0
_POLL_SECONDS = 0.2
_SHOWN_LINES = 15
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class UiError(LakeError):
    """The UI cannot be opened, or it ended by itself."""


def require_free_port(port: int) -> None:
    """Make sure that the UI can listen on a port of the loopback.

    Args:
        port: The port.

    Raises:
        UiError: Somebody else listens there, or it may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                cause = f"port {port} on {HOST} is in use by {_listener(port)}"
                raise UiError(cause, f"stop that, or run `lake ui --port {port + 1}`") from error
            raise UiError(
                f"port {port} on {HOST} cannot be used: {error.strerror}",
                f"run `lake ui --port {DEFAULT_PORT}`",
            ) from error


def ui_lock(settings: Settings) -> Path:
    """Held while a UI runs on this project's Dagster home."""
    return settings.dagster_home / "ui.lock"


def ui_purpose(port: int) -> str:
    """What the holder of the lock is doing; ``running_ui`` reads the port from it."""
    return f"lake ui --port {port}"


def running_ui(settings: Settings) -> str | None:
    """The UI that somebody has opened on this project, in a sentence with its address.

    Args:
        settings: The project.

    Returns:
        None when there is none.

    Raises:
        UiError: There is one, but it does not answer yet or any more.
    """
    holder = current_holder(ui_lock(settings))
    if holder is None:
        return None
    port = int(holder.purpose.rpartition(" ")[2])
    if _answers(port):
        since = f"since {holder.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"Dagster UI: http://{HOST}:{port} (already running, pid {holder.pid}, {since})"
    raise UiError(
        f"`{holder.purpose}` is starting or stopping (pid {holder.pid})",
        "wait a moment, then run `lake ui` again",
    )


class DagsterUi:
    """Dagster's processes.

    Args:
        settings: The project; its Dagster home must have been prepared.
        port: Where the web server listens.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_asked = False

    @property
    def url(self) -> str:
        """Where to point a browser."""
        return f"http://{HOST}:{self._port}"

    @property
    def log_path(self) -> Path:
        """Everything that Dagster's processes print."""
        return self._settings.dagster_home / "ui.log"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start Dagster and, at the end of the block, stop all of it, runs included."""
        before = {number: signal.signal(number, self._ask_to_stop) for number in _STOPPING}
        try:
            self._start()
            yield
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait_until_ready(self) -> bool:
        """Wait until the web server answers.

        Returns:
            False if somebody asked to stop meanwhile.

        Raises:
            UiError: Dagster ended instead.
        """
        while not self._stop_asked:
            self._require_alive()
            if _answers(self._port):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def wait_until_stopped(self) -> None:
        """Wait for Ctrl-C or SIGTERM.

        Raises:
            UiError: Dagster ended by itself.
        """
        while not self._stop_asked:
            self._require_alive()
            time.sleep(_POLL_SECONDS)

    def _start(self) -> None:
        command = [sys.executable, "-m", "dagster", "dev", "-m", "orchestration.definitions"]
        command += ["--host", HOST, "--port", str(self._port)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                # Dagster writes beside where it was started.
                cwd=self._settings.dagster_home,
                env=dagster_environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C must reach it once, by us, in the right order.
                start_new_session=True,
            )

    def _stop(self) -> None:
        """Ask Dagster to stop, then make sure: what it left is ended with force."""
        if self._process is None:
            return
        family = _family(self._process.pid)
        _signal_all(_runs(family), signal.SIGTERM)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        # Its code servers would notice only when their heartbeat stops, half a minute later.
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal_all(family, number)
            _, family = psutil.wait_procs(family, timeout=_INSIST_SECONDS)
        self._process.wait()

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self._stop_asked = True

    def _require_alive(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            tail = self.log_path.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
            last = tail[-1] if tail else f"exit code {code}"
            raise UiError(f"Dagster ended by itself: {last}", f"read {self.log_path}")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listener(port: int) -> str:
    """Who listens on a port, as far as the system tells us."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            is_ours = getattr(connection.laddr, "port", None) == port
            if is_ours and connection.status == psutil.CONN_LISTEN and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (pid {process.pid})"
    return "another program, perhaps another `lake ui`"


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _runs(family: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The processes that execute runs: asked first, they end their dbt and are marked cancelled."""
    found = []
    for process in family:
        with suppress(psutil.Error):
            if "multiprocessing" in " ".join(process.cmdline()):
                found.append(process)
    return found


def _signal_all(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
