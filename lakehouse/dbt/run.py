"""Running dbt as a subprocess.

Here belongs everything about the process: finding dbt, starting, following and stopping it. What
it left behind is read in ``lakehouse.dbt.results``; publishing is called by dbt itself.
"""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lakehouse.errors import LakeError
from lakehouse.files import probe_writable
from lakehouse.settings import Settings

_WITH_PARENT = Path(__file__).with_name("_with_parent.py")
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_SECONDS = 5.0
"""An interrupted dbt waits for its threads, and one that queues for the build file waits long."""
_OWN_FOLDERS = (
    ("--log-path", "DBT_LOG_PATH", "logs"),
    ("--target-path", "DBT_TARGET_PATH", "target"),
)
"""Where dbt writes in its project, and what names another place."""
_BUILDING = frozenset({"build", "run", "test", "seed", "snapshot", "retry"})
_PROGRESS = re.compile(r"\b(\d+) of (\d+) (?!START)[A-Z]")


def find_dbt() -> Path:
    """The dbt of the running interpreter's environment, whatever ``PATH`` says.

    Raises:
        LakeError: It has none.
    """
    dbt = Path(sys.executable).with_name("dbt")
    if not dbt.is_file():
        raise LakeError(f"there is no dbt beside {sys.executable}", "run `make env`")
    return dbt


def run_dbt(
    settings: Settings,
    args: Sequence[str],
    *,
    invoked_by: str = "lake build",
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run dbt to its end. SIGINT, SIGTERM and SIGHUP are passed on and waited for.

    Args:
        settings: The project.
        args: dbt's subcommand and its arguments.
        invoked_by: Shown to those who wait for this build.
        on_line: Gets each line of dbt's output without its newline; None lets dbt write to our
            own standard output.

    Returns:
        dbt's exit code: 0 all green, 1 something failed, 2 dbt itself could not run.

    Raises:
        KeyboardInterrupt: SIGINT arrived; dbt has ended.
        SystemExit: SIGTERM or SIGHUP arrived; dbt has ended.
        LakeError: There is no dbt, or nothing can be written where it writes.
    """
    refuse_unwritable(settings, args)
    command = [sys.executable, "-I", "-S", str(_WITH_PARENT), str(os.getpid())]
    environment = {**os.environ, "LAKE_ROOT": str(settings.root), "LAKE_INVOKED_BY": invoked_by}
    if on_line is not None or not sys.stdout.isatty():
        environment.setdefault("DBT_USE_COLORS", "false")
    process = subprocess.Popen(
        [*command, str(find_dbt()), *_located(settings, args)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if on_line else None,
        stderr=subprocess.STDOUT if on_line else None,
        text=True,
        errors="replace",
        # A terminal's Ctrl-C would reach dbt twice, by its group and by us.
        start_new_session=True,
    )
    try:
        with _forwarding(process) as received:
            if on_line is not None and process.stdout is not None:
                for line in process.stdout:
                    on_line(line.rstrip("\n"))
            code = process.wait()
    finally:
        _stop(process)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    if received:
        raise SystemExit(128 + received[0])
    return code if code >= 0 else 128 - code


def progress_of(line: str) -> tuple[int, int] | None:
    """Read ``7 of 24 OK ...`` in a line of dbt's output.

    Returns:
        The number of the node that just ended and how many there are; None for another line.
    """
    found = None if " hook: " in line else _PROGRESS.search(line)
    return (int(found[1]), int(found[2])) if found else None


def refuse_unwritable(settings: Settings, args: Sequence[str]) -> None:
    """Try every folder that dbt writes: dbt would fail with a stack of Python calls.

    Args:
        settings: The project.
        args: dbt's subcommand and its arguments.

    Raises:
        LakeError: Nothing can be written in one of them.
    """
    folders = [
        settings.dbt_dir / name
        for option, variable, name in _OWN_FOLDERS
        if not _has(args, option) and not _has(args, "--project-dir") and variable not in os.environ
    ]
    if args[0] in _BUILDING:
        folders += [settings.warehouse_dir, settings.build_dir, settings.versions_dir]
    for folder in folders:
        try:
            probe_writable(folder)
        except OSError as error:
            place = Path(error.filename).parent
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return  # there is a better sentence for this after the run
            raise LakeError(
                f"nothing can be written in {place} ({error.strerror}); readers keep the version "
                "they have",
                f"mount its disk for writing or give yourself the right (`ls -ld {place}`), then "
                "run the same command again",
            ) from error


def _has(args: Sequence[str], option: str) -> bool:
    return any(arg == option or arg.startswith(f"{option}=") for arg in args)


def _located(settings: Settings, args: Sequence[str]) -> list[str]:
    """Name the project unless the caller did, so that the working directory does not matter."""
    located = list(args)
    for option in ("--project-dir", "--profiles-dir"):
        if not _has(args, option):
            located += [option, str(settings.dbt_dir)]
    return located


@contextmanager
def _forwarding(process: "subprocess.Popen[str]") -> Iterator[list[int]]:
    """Pass signals on while the block runs; yields the list of those that arrived."""
    received: list[int] = []
    insist = threading.Timer(_STOP_SECONDS, process.terminate)
    insist.daemon = True

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        match len(received):
            case 1:
                process.send_signal(number)
                insist.start()
            case 2:
                process.terminate()
            case _:
                process.kill()

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread can have handlers; elsewhere the caller's exception stops dbt.
        yield received
        return
    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield received
    finally:
        insist.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
