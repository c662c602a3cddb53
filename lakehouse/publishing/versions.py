"""Published versions on disk: which there are, which one readers see, and going back.

A version is an immutable DuckDB file in ``warehouse/versions``. ``warehouse/lakehouse.duckdb`` is
a second name (hard link) of one of them and changes only by an atomic rename, so a reader opens
one version or another and an open session keeps the one it has.
"""

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir, replace_atomically, write_text_atomically
from lakehouse.locks import file_lock
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb

READ_ONLY = 0o444


class NoVersionError(LakeError):
    """Nothing has been published yet, or not the version that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One published version.

    Attributes:
        id: Sorts by time of publishing.
        path: The immutable file.
        published_at: When it was published (UTC).
        invocation_id: The dbt run that built it.
        size_bytes: Size of the file.
        rows: ``schema.table`` to row count.
        is_current: Whether readers see it now.
    """

    id: str
    path: Path
    published_at: datetime
    invocation_id: str
    size_bytes: int
    rows: dict[str, int]
    is_current: bool


def version_paths(settings: Settings) -> list[Path]:
    """The files of all kept versions, newest first; none is opened."""
    return sorted(settings.versions_dir.glob("[0-9]*.duckdb"), reverse=True)


def current_path(settings: Settings) -> Path | None:
    """The version file that readers see; None when nothing is published."""
    try:
        seen = settings.published_file.stat()
    except FileNotFoundError:
        return None
    for path in version_paths(settings):
        if os.path.samestat(path.stat(), seen):
            return path
    # Without hard links the published file is a copy; it carries the version's name.
    note = _copy_note(settings)
    if not note.exists():
        return None
    named = settings.versions_dir / f"{note.read_text().strip()}.duckdb"
    return named if named.exists() else None


def list_versions(settings: Settings) -> list[Version]:
    """Every kept version, newest first."""
    current = current_path(settings)
    return [_describe(path, path == current) for path in version_paths(settings)]


def current_version(settings: Settings) -> Version:
    """The version that readers see.

    Raises:
        NoVersionError: Nothing is published.
    """
    path = current_path(settings)
    if path is None:
        raise NoVersionError("nothing has been published yet", "run `make demo` or `lake build`")
    return _describe(path, True)


def find_version(settings: Settings, name: str) -> Path:
    """Find a version by its id, or by any part of it that only one version has.

    Raises:
        NoVersionError: No version, or more than one, fits.
    """
    fitting = [path for path in version_paths(settings) if name in path.stem]
    exact = [path for path in fitting if path.stem == name]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    cause = "no version" if not fitting else f"{len(fitting)} versions"
    raise NoVersionError(f"{cause} named like {name!r}", "choose one from `lake versions`")


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
        if target == newest:
            rollback_note(settings).unlink(missing_ok=True)
        else:
            note = {"newest": newest.stem, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            write_text_atomically(rollback_note(settings), json.dumps(note) + "\n")
        point_readers_at(settings, target)
        return _describe(target, True)


def publish_lock(settings: Settings) -> Path:
    """The lock under which the published name changes."""
    return settings.versions_dir / ".lock"


def rollback_note(settings: Settings) -> Path:
    """Exists while readers see an older version because somebody rolled back."""
    return settings.versions_dir / ".rolled_back.json"


def point_readers_at(settings: Settings, version: Path) -> None:
    """Make the published name a name of this version, atomically.

    Args:
        settings: The project.
        version: A file in the versions folder.
    """
    published = settings.published_file
    # DuckDB would replay a write-ahead log that lies beside a file of this name into it.
    published.with_name(published.name + ".wal").unlink(missing_ok=True)
    if current_path(settings) == version:
        return
    temporary = published.with_name(f".{published.name}.{version.stem}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(version, temporary)
        _copy_note(settings).unlink(missing_ok=True)
    except OSError:
        # Some file systems have no hard links: a copy costs space, not correctness.
        shutil.copyfile(version, temporary)
        temporary.chmod(READ_ONLY)
        write_text_atomically(_copy_note(settings), version.stem + "\n")
    replace_atomically(temporary, published)


def remove_old_versions(settings: Settings) -> list[Path]:
    """Remove versions beyond the number to keep; never the current one.

    Returns:
        The removed files. A reader that has one open keeps it until it closes.
    """
    current = current_path(settings)
    surplus = [p for p in version_paths(settings)[settings.keep_versions :] if p != current]
    for path in surplus:
        path.unlink()
    if surplus:
        fsync_dir(settings.versions_dir)
    return surplus


def open_published(settings: Settings, version: str | None = None) -> "duckdb.DuckDBPyConnection":
    """Open a published version read-only.

    The version's own file is opened, not the published name, so that a process which asks again
    after a publish gets the new version: DuckDB shares one instance a path within a process.

    Args:
        settings: The project.
        version: Id or part of it; None means the one that readers see.

    Raises:
        NoVersionError: There is no such version.
    """
    import duckdb

    path = find_version(settings, version) if version else current_version(settings).path
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("set timezone = 'UTC'")
    return connection


def _version_before(settings: Settings) -> Path:
    current = current_path(settings)
    older = [p for p in version_paths(settings) if current is None or p.stem < current.stem]
    if not older:
        raise NoVersionError("there is no version before the current one", "see `lake versions`")
    return older[0]


def _describe(path: Path, is_current: bool) -> Version:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        row = connection.execute(
            "select epoch_us(published_at), invocation_id from lake.version"
        ).fetchone()
        counts = connection.execute(
            "select schema_name || '.' || table_name, row_count from lake.tables order by all"
        ).fetchall()
    assert row is not None  # noqa: S101 - a version without its own description cannot be made
    return Version(
        id=path.stem,
        path=path,
        published_at=datetime.fromtimestamp(row[0] / 1e6, UTC),
        invocation_id=row[1],
        size_bytes=path.stat().st_size,
        rows=dict(counts),
        is_current=is_current,
    )


def _copy_note(settings: Settings) -> Path:
    return settings.versions_dir / ".published_copy"
