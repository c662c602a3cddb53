"""The address of a source's database: where it comes from, and how it stays a secret.

Here belongs keeping it out of the process list and putting it into ``.env``. Here does not belong
which variable a source names (``ingest.sources``), or connecting.
"""

import io
import os
import sys
import uuid
from pathlib import Path

from dotenv import dotenv_values

from lakehouse.errors import LakeError
from lakehouse.files import replace_atomically
from lakehouse.settings import Settings

HANDED_ON = "LAKE_DSN_HANDED_ON"
"""Holds an address that was given as an argument, for this command only."""


def default_variable(source: str) -> str:
    """The variable of a new source."""
    return f"LAKE_SOURCE_{source.upper()}_DSN"


def given_dsn(argument: str | None) -> str | None:
    """The address that was given as an argument.

    Everybody on the machine can read arguments in the process list, so the command starts itself
    anew with the address in its environment, which only its owner can read.

    Args:
        argument: The value of ``--dsn``.
    """
    if argument is None:
        return os.environ.pop(HANDED_ON, None)
    command = _without(sys.orig_argv, argument)
    if command != sys.orig_argv:
        environment = {**os.environ, HANDED_ON: argument}
        os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted
    return argument


def save_dsn(settings: Settings, variable: str, dsn: str) -> Path:
    """Put an address into ``.env``, readable by its owner only; an earlier one is replaced.

    Args:
        settings: The project.
        variable: The variable.
        dsn: The address.

    Returns:
        The file.

    Raises:
        LakeError: It holds something that ``.env`` cannot.
    """
    line = f"{variable}={_quoted(dsn)}"
    kept_whole = dotenv_values(stream=io.StringIO(line)).get(variable) == dsn
    if not kept_whole or len(dsn.splitlines()) > 1:
        raise LakeError(
            f"the address cannot stand in .env as {variable}: it has a line break or a `$` before a"
            " name",
            "write such a character in percent encoding, `$` as %24",
        )
    file = settings.root / ".env"
    before = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = [old for old in before if old.partition("=")[0].removeprefix("export ") != variable]
    _write_private(file, "\n".join([*kept, line]) + "\n")
    return file


def _without(command: list[str], dsn: str) -> list[str]:
    """The command without the option that holds the address."""
    kept: list[str] = []
    for part in command:
        if part == dsn and kept and kept[-1] == "--dsn":
            kept.pop()
        elif part != f"--dsn={dsn}":
            kept.append(part)
    return kept


def _quoted(dsn: str) -> str:
    return "'" + dsn.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _write_private(file: Path, text: str) -> None:
    temporary = file.with_name(f".env.{uuid.uuid4().hex[:8]}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as target:
            target.write(text)
        replace_atomically(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
