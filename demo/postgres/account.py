"""The system account under which the embedded PostgreSQL runs.

PostgreSQL refuses to run as root, so root needs another account for it. Here belongs choosing that
account and opening the way to its folders; here does not belong starting anything.
"""

import errno
import os
import pwd
import shutil
import stat
import struct
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

    It may then pass those folders on the way that it could not pass before, by their access lists:
    no right to list or read them, and nothing for anybody else.

    Args:
        account: Who runs the server.
        cluster: The data folder.
        binaries: The folder of the programs.

    Raises:
        EmbeddedPostgresError: A folder's file system has no access lists.
    """
    if not account.is_other:
        return
    for folder in sorted({*cluster.parents, *binaries.parents, binaries}):
        let_pass(account, folder)
    readable = stat.S_IROTH | stat.S_IXOTH
    if (binaries / "postgres").stat().st_mode & readable != readable:
        # An installation under a umask of 077.
        for path in (binaries.parent, *binaries.parent.rglob("*")):
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, readable if executable else stat.S_IROTH)


def let_pass(account: Account, folder: Path) -> None:
    """Let one account pass a folder.

    Raises:
        EmbeddedPostgresError: The folder's file system has no access lists.
    """
    status = folder.stat()
    is_open = status.st_mode & stat.S_IXOTH
    if is_open or (status.st_uid == account.uid and status.st_mode & stat.S_IXUSR):
        return
    try:
        entries = _access_list(folder, status.st_mode)
        wanted = {**entries, (_ACL_USER, account.uid): _SEARCH}
        wanted[_ACL_MASK, _NOBODY] = wanted.get((_ACL_MASK, _NOBODY), 0) | _SEARCH
        if wanted != entries:
            ordered = sorted(wanted.items())
            packed = (struct.pack("<HHI", tag, bits, who) for (tag, who), bits in ordered)
            os.setxattr(folder, _ACL_NAME, struct.pack("<I", _ACL_VERSION) + b"".join(packed))
    except OSError as error:
        raise EmbeddedPostgresError(
            f"the account {SYSTEM_USER}, which runs PostgreSQL for root, may not pass {folder}: "
            f"{error.strerror}",
            f"run as a normal user, or let everybody pass it with `chmod o+x {folder}`",
        ) from error


# acl(5) in the kernel's form: a version, and then tag, permission and id of each entry, in order.
_ACL_NAME, _ACL_VERSION = "system.posix_acl_access", 2
_ACL_OWNER, _ACL_USER, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_SEARCH = 1


def _access_list(folder: Path, mode: int) -> dict[tuple[int, int], int]:
    """A folder's access list: tag and id to permission; what its mode means if it has none."""
    try:
        packed = os.getxattr(folder, _ACL_NAME)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        group = mode >> 3 & 7
        return {
            (_ACL_OWNER, _NOBODY): mode >> 6 & 7,
            (_ACL_GROUP, _NOBODY): group,
            (_ACL_MASK, _NOBODY): group,
            (_ACL_OTHER, _NOBODY): mode & 7,
        }
    return {(tag, who): bits for tag, bits, who in struct.iter_unpack("<HHI", packed[4:])}


def _add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
