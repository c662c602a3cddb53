"""What readers see, and changing it: showing a version, going back, forgetting old ones.

Here belongs the order of renames and notes, so that a crash between any two leaves readers and
``lake`` with the same whole version. Here does not belong making a version (``publish``).
"""

import json
import os
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

from lakehouse.files import fsync_dir, replace_atomically, write_text_atomically
from lakehouse.locks import file_lock
from lakehouse.publishing.held_back import held_back_file
from lakehouse.publishing.versions import (
    DamagedVersionError,
    NoVersionError,
    Version,
    current_id,
    current_version,
    find_version,
    version_path,
    version_paths,
    version_sizes,
)
from lakehouse.settings import Settings

READ_ONLY = 0o444
_ALWAYS_FITTING = 2
_GB = 1_000_000_000
_OPENING_SECONDS = 60.0
"""So long after readers were shown another version somebody may still be opening the old one."""


def publish_lock(settings: Settings) -> Path:
    """The lock under which versions and the published name change."""
    return settings.versions_dir / ".lock"


def is_rolled_back(settings: Settings) -> bool:
    """Whether readers see an older version because somebody wanted it so.

    The note of a rollback names the version that was the newest then. It says nothing any more
    when there is a newer one, so nobody needs to remove it.
    """
    newest, current = next(iter(version_paths(settings)), None), _readable_id(settings)
    if newest is None or current in (None, newest.stem):
        return False
    try:
        note = json.loads(_rollback_note(settings).read_text(encoding="utf-8"))
        return bool(note["newest"] == newest.stem)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def rollback(settings: Settings, version: str | None = None) -> Version:
    """Show readers an earlier version; open sessions are not disturbed.

    The next green build whose content is new publishes again; an idle one does not.

    Args:
        settings: The project.
        version: Id of the version, or an unambiguous part; None means the one before the current.

    Returns:
        The version that readers now see.

    Raises:
        NoVersionError: There is no such version.
    """
    with file_lock(publish_lock(settings), purpose="lake rollback"):
        target = find_version(settings, version) if version else _version_before(settings)
        newest = version_paths(settings)[0]
        if target != newest:
            note = {"newest": newest.stem, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            write_text_atomically(_rollback_note(settings), json.dumps(note) + "\n")
        show(settings, target)
        return current_version(settings)


def show(settings: Settings, version: Path) -> None:
    """Make the published name a name of this version, atomically.

    Args:
        settings: The project.
        version: A file in the versions folder.
    """
    published = settings.published_file
    # DuckDB would replay a write-ahead log that lies beside a file of this name into it.
    published.with_name(published.name + ".wal").unlink(missing_ok=True)
    left = _readable_id(settings)
    if left == version.stem:
        return
    if left is not None:
        with suppress(OSError):  # it has gone, or is somebody else's
            os.utime(version_path(settings, left))  # see remove_surplus
    temporary = published.with_name(f".{published.name}.{version.stem}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(version, temporary)
    except OSError:
        # Some file systems have no hard links: a copy costs space, not correctness.
        shutil.copyfile(version, temporary)
        temporary.chmod(READ_ONLY)
    replace_atomically(temporary, published)


def remove_surplus(settings: Settings) -> list[Path]:
    """Remove versions beyond the number and the space to keep; never one somebody may be opening.

    That is the current one, and one that readers were shown a moment ago: who asked for the
    current version opens it by its own name. Its time of change is that of its making, or of the
    last time that readers left it. Of space, what the newest two take is never too much, and the
    disk keeps room for one more.

    Returns:
        The removed files. A reader that has one open keeps it until it closes.
    """
    current = _readable_id(settings)
    moment_ago = time.time() - _OPENING_SECONDS
    surplus = [
        path
        for path in _beyond_number_and_space(settings)
        if path.stem != current and path.stat().st_mtime < moment_ago
    ]
    for path in surplus:
        path.unlink()
    if surplus:
        fsync_dir(settings.versions_dir)
    return surplus


def _beyond_number_and_space(settings: Settings) -> list[Path]:
    sizes = version_sizes(settings)
    room = min(
        settings.keep_versions_gb * _GB,
        sum(sizes) + shutil.disk_usage(settings.versions_dir).free - max(sizes, default=0),
    )
    fitting = sum(total <= room for total in accumulate(sizes))
    return version_paths(settings)[min(settings.keep_versions, max(fitting, _ALWAYS_FITTING)) :]


def remove_unfinished(settings: Settings) -> None:
    """Remove what a process left that died while it published, rolled back or held back."""
    for folder, pattern in (
        (settings.versions_dir, ".*.tmp*"),
        (settings.warehouse_dir, f".{settings.published_file.name}.*.tmp"),
        (settings.build_dir, f".{held_back_file(settings).name}.*.tmp"),
    ):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _version_before(settings: Settings) -> Path:
    current = _readable_id(settings)
    older = [p for p in version_paths(settings) if current is None or p.stem < current]
    if not older:
        raise NoVersionError("there is no version before the current one", "see `lake versions`")
    return older[0]


def _readable_id(settings: Settings) -> str | None:
    """The version that readers see; None also when they cannot read it."""
    try:
        return current_id(settings)
    except DamagedVersionError:
        return None


def _rollback_note(settings: Settings) -> Path:
    return settings.versions_dir / ".rolled_back.json"
