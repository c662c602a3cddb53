"""The system account under which the embedded PostgreSQL runs.

PostgreSQL refuses to run as root, so root needs another account for it. Here belongs choosing that
account and opening the way to its folders; here does not belong starting anything.
"""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import LakeError

SYSTEM_USER = "pgserver"


class EmbeddedPostgresError(LakeError):
    """The embedded PostgreSQL cannot be used."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user id and its group id."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether this process runs as somebody else."""
        return self.uid != os.geteuid()


def choose_account(cluster: Path) -> Account:
    """Decide who runs the server over a data folder.

    Args:
        cluster: The PostgreSQL data folder, which need not exist yet.

    Returns:
        For root the folder's owner, or the account ``pgserver``, made on first use; for everybody
        else themselves.

    Raises:
        EmbeddedPostgresError: The folder belongs to somebody else, or no account can be made.
    """
    owner = cluster.stat().st_uid if cluster.exists() else None
    me = os.geteuid()
    if me != 0:
        if owner not in (None, me):
            raise EmbeddedPostgresError(
                f"the PostgreSQL data in {cluster} belongs to another user (uid {owner})",
                "run as that user, or as root, or move the folder away and run `lake seed`",
            )
        return Account(me, os.getegid())
    if owner:
        return Account(owner, cluster.stat().st_gid)
    return _system_account()


def _system_account() -> Account:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def _add_system_user() -> None:
    tool = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if tool is None:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root and this system has no `useradd`",
            "run as a normal user, or name a PostgreSQL of your own in LAKE_DEMO_DSN",
        )
    command = [tool, "--system", "--no-create-home", "--shell", "/bin/sh", SYSTEM_USER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Exit status 9 says that the account exists: another process was faster.
    if done.returncode not in (0, 9):
        raise EmbeddedPostgresError(
            f"the account {SYSTEM_USER} cannot be made: {done.stderr.strip()}",
            "run as a normal user, or name a PostgreSQL of your own in LAKE_DEMO_DSN",
        )


def open_way(account: Account, cluster: Path, binaries: Path) -> None:
    """Let the account reach its data folder and PostgreSQL's programs.

    Only folders on the way that nobody else may pass get the search bit, never the right to list
    or read them.

    Args:
        account: Who runs the server.
        cluster: The data folder.
        binaries: The folder of the programs.
    """
    if not account.is_other:
        return
    for folder in {*cluster.parents, *binaries.parents, binaries}:
        _add_mode(folder, stat.S_IXOTH)
    readable = stat.S_IROTH | stat.S_IXOTH
    if (binaries / "postgres").stat().st_mode & readable != readable:
        # An installation under a umask of 077.
        for path in (binaries.parent, *binaries.parent.rglob("*")):
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, readable if executable else stat.S_IROTH)


def _add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
