"""Checks of the machine: interpreter, disk, memory, folders, ports."""

import json
import os
import shutil
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from lakehouse.doctor.check import Finding, ok, problem, skipped, warning
from lakehouse.errors import LakeError
from lakehouse.files import probe_writable
from lakehouse.settings import Settings

PYTHONS = ((3, 11), (3, 13))
DEFAULT_UI_PORT = 3000

_GB = 1_000_000_000
_DISK_NEEDED = 1 * _GB
_DISK_WANTED = 5 * _GB
_MEMORY_NEEDED = 1 * _GB
_MEMORY_WANTED = 2 * _GB
_CONNECT_SECONDS = 3.0


def python(settings: Settings) -> Finding:
    """The interpreter is one that the locked packages support."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    oldest, newest = PYTHONS
    if oldest <= sys.version_info[:2] <= newest:
        return ok(f"{version} at {sys.executable}")
    return problem(
        f"{version} is not between {_dotted(oldest)} and {_dotted(newest)}",
        f"remove .venv and run `make env PYTHON=python{_dotted(newest)}`",
    )


def disk(settings: Settings) -> Finding:
    """There is room for raw, builds and versions."""
    free = shutil.disk_usage(_existing(settings.root)).free
    text = f"{free / _GB:.1f} GB free below {settings.root}"
    if free < _DISK_NEEDED:
        return problem(
            f"{text}, at least {_DISK_NEEDED / _GB:.0f} GB are needed",
            "free space, for example with `lake clean build`",
        )
    if free < _DISK_WANTED:
        return warning(text, "free space before large loads, see `lake clean --help`")
    return ok(text)


def memory(settings: Settings) -> Finding:
    """There is memory for a build."""
    import psutil

    found = psutil.virtual_memory()
    text = f"{found.available / _GB:.1f} of {found.total / _GB:.1f} GB available"
    if found.available < _MEMORY_NEEDED:
        return problem(
            f"{text}, at least {_MEMORY_NEEDED / _GB:.0f} GB are needed",
            "close other programs, or set LAKE_MEMORY_LIMIT=500MB in .env",
        )
    if found.available < _MEMORY_WANTED:
        return warning(text, "set LAKE_MEMORY_LIMIT in .env below what is available")
    return ok(text)


def folders(settings: Settings) -> Finding:
    """We may write where data and versions go."""
    for folder in (settings.data_dir, settings.warehouse_dir):
        try:
            probe_writable(folder)
        except OSError as error:
            place = _existing(folder)
            return problem(
                f"cannot write in {place}: {error.strerror}",
                f"run `ls -ld {place}` and give yourself the right to write",
            )
    return ok("data/ and warehouse/ can be written")


def ui_port(settings: Settings) -> Finding:
    """Dagster's UI can have its port, or has it already."""
    port = _port("LAKE_UI_PORT", DEFAULT_UI_PORT)
    if _is_free(port):
        return ok(f"{port} is free")
    if _is_dagster(port):
        return ok(f"{port} serves a Dagster UI")
    return problem(
        f"port {port} is in use{_by_whom(port)}",
        f"run `make ui LAKE_UI_PORT={port + 1}`, or end the other program",
    )


def kafka(settings: Settings) -> Finding:
    """The broker answers, if one is configured."""
    if settings.kafka_bootstrap is None:
        return skipped("LAKE_KAFKA_BOOTSTRAP is not set; the in-process broker is used")
    causes = []
    for address in settings.kafka_bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
                return ok(f"{address.strip()} answers")
        except (OSError, ValueError) as error:
            causes.append(f"{address.strip()}: {error}")
    return problem(
        f"no broker answers ({'; '.join(causes)})",
        "start it with `make kafka-up` or `docker compose up -d --wait kafka`, or mend"
        " LAKE_KAFKA_BOOTSTRAP",
    )


def _port(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise LakeError(f"{name}={text!r} is not a port", f"set {name} to 1..65535 or unset it")
    return int(text)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_dagster(port: int) -> bool:
    try:
        address = f"http://127.0.0.1:{port}/server_info"
        with urllib.request.urlopen(address, timeout=_CONNECT_SECONDS) as answer:
            return "dagster_version" in json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _by_whom(port: int) -> str:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.pid and getattr(connection.laddr, "port", 0) == port:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # macOS tells only root
    return ""


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
