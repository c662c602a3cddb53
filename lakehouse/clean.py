"""Removing what was made, in scopes from what is rebuilt in seconds to what is lost for ever.

Here belongs what each scope covers and refusing while somebody uses it. Here does not belong
asking the user.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir
from lakehouse.locks import LockHeldError, current_holder, file_lock
from lakehouse.publishing.switch import publish_lock
from lakehouse.settings import Settings

Scope = Literal["build", "warehouse", "all"]
_KEPT = frozenset({"README.md"})


@dataclass(frozen=True, slots=True)
class Target:
    """Something to remove: what it is in a few words, its path, its files and their bytes."""

    what: str
    path: Path
    files: int
    size_bytes: int


def targets(settings: Settings, scope: Scope) -> list[Target]:
    """What a scope would remove; what does not exist is left out.

    ``build`` is what the next build makes again; ``warehouse`` also the published versions, which
    raw can rebuild; ``all`` also raw itself, the embedded database and every other runtime folder.
    """
    places = [
        ("dbt's target and logs", settings.dbt_dir / "target"),
        ("dbt's target and logs", settings.dbt_dir / "logs"),
        ("build file", settings.build_dir),
    ]
    if scope != "build":
        places += [
            ("published versions", settings.versions_dir),
            ("published file", settings.published_file),
            ("published file", settings.published_file.with_name("lakehouse.duckdb.wal")),
        ]
    if scope == "all":
        places += [(f"data/{path.name}", path) for path in _entries(settings.data_dir)]
    found = [_measure(what, path, _locks(settings)) for what, path in places if path.exists()]
    return [target for target in found if target.files or target.path.parent == settings.data_dir]


def clean(settings: Settings, scope: Scope) -> list[Target]:
    """Remove what a scope covers. Raw goes only with ``all``.

    Returns:
        What was removed.

    Raises:
        LockHeldError: An extraction, a build or a publish is running.
        LakeError: The embedded PostgreSQL is running, or something cannot be removed.
    """
    if scope == "all":
        _refuse_while_used(settings)
        _refuse_running_postgres(settings)
    with ExitStack() as locks:
        locks.enter_context(file_lock(settings.build_lock, purpose="lake clean", wait=False))
        if scope != "build":
            locks.enter_context(file_lock(publish_lock(settings), purpose="lake clean", wait=False))
        found = targets(settings, scope)
        for target in found:
            _remove(target.path, _locks(settings))
    return found


def _locks(settings: Settings) -> frozenset[Path]:
    return frozenset({settings.build_lock, publish_lock(settings)})


def _remove(path: Path, held: frozenset[Path]) -> None:
    """Remove a file or folder, but not a lock file: others wait on that very file."""
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        elif not any(lock.is_relative_to(path) for lock in held):
            shutil.rmtree(path)
        else:
            for entry in path.iterdir():
                if entry not in held:
                    _remove(entry, held)
            fsync_dir(path)
    except OSError as error:
        raise LakeError(
            f"cannot remove {error.filename or path}: {error.strerror}",
            "mend its permissions and run the same command again",
        ) from error


def _refuse_while_used(settings: Settings) -> None:
    folders = (settings.state_dir, settings.raw_locks_dir)
    for lock in chain.from_iterable(folder.rglob("*.lock") for folder in folders):
        if holder := current_holder(lock):
            raise LockHeldError(f"in use by {holder}", "wait until it ends, then run this again")


def _refuse_running_postgres(settings: Settings) -> None:
    import psutil

    for note in settings.postgres_dir.glob("**/postmaster.pid"):
        lines = note.read_text(encoding="utf-8", errors="replace").split()
        if lines and lines[0].isdigit() and psutil.pid_exists(int(lines[0])):
            raise LakeError(
                f"the embedded PostgreSQL is running (pid {lines[0]})",
                "end the commands that use it (if they were killed, `lake extract` stops it), "
                "then run this again",
            )


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(entry for entry in folder.iterdir() if entry.name not in _KEPT)


def _measure(what: str, path: Path, held: frozenset[Path]) -> Target:
    inside = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    files = [file for file in inside if file not in held]
    size = 0
    for file in files:
        try:
            size += file.lstat().st_size
        except FileNotFoundError:
            continue  # somebody else's temporary file
    return Target(what, path, len(files), size)
