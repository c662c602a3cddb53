"""Durable file operations: the few places where a crash could leave half a state.

Here belong fsync, atomic replacement and whether one can write at all. Here does not belong what
the files mean.
"""

import os
import uuid
from pathlib import Path


def fsync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    _fsync(path, os.O_RDONLY)


def fsync_dir(path: Path) -> None:
    """Force a directory's entries to the disk: without it a rename may not survive a crash."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def replace_atomically(temporary: Path, final: Path) -> None:
    """Rename a finished file over its final name so that readers see the old or the new one.

    Args:
        temporary: The finished file, in the same file system as ``final``.
        final: The name readers open.
    """
    fsync_file(temporary)
    os.replace(temporary, final)
    fsync_dir(final.parent)


def probe_writable(folder: Path) -> None:
    """Make and remove a file in a folder, or where it would have to be made.

    By trying: permission bits say nothing about read-only mounts or quotas.

    Raises:
        OSError: It cannot be done; the error's ``filename`` lies in the folder that refused.
    """
    place = next(p for p in (folder, *folder.parents) if p.exists())
    probe = place / f".lake-probe-{uuid.uuid4().hex[:8]}"
    probe.touch()
    probe.unlink()


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small UTF-8 file so that readers see all of it or the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        replace_atomically(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
