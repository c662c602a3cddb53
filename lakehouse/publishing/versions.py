"""The published versions: which are kept, which one readers see, and opening one.

A version is an immutable DuckDB file in ``warehouse/versions`` that says itself which one it is.
``warehouse/lakehouse.duckdb`` is a second name (hard link) of one of them, or a copy, and changes
only by an atomic rename, so a reader opens one version or another and an open session keeps the
one it has. Here belongs looking. Here does not belong changing what readers see (``switch``).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import LakeError
from lakehouse.publishing.relations import literal
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb


class NoVersionError(LakeError):
    """Nothing has been published yet, or not the version that was asked for."""


class DamagedVersionError(LakeError):
    """A published file that DuckDB cannot read."""


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


def version_sizes(settings: Settings) -> list[int]:
    """The bytes of each kept version, newest first."""
    return [path.stat().st_size for path in version_paths(settings)]


def version_path(settings: Settings, version_id: str) -> Path:
    """Where a version's own file is or was."""
    return settings.versions_dir / f"{version_id}.duckdb"


def current_id(settings: Settings) -> str | None:
    """The id of the version that readers see; None when nothing is published.

    Raises:
        DamagedVersionError: The published file cannot be read.
    """
    try:
        seen = settings.published_file.stat()
    except FileNotFoundError:
        return None
    for path in version_paths(settings):
        with suppress(FileNotFoundError):  # an old one that is just being removed
            if os.path.samestat(path.stat(), seen):
                return path.stem
    # A copy: the file system has no hard links, or somebody copied the whole folder.
    return _read_id(settings.published_file)


def list_versions(settings: Settings) -> list[Version]:
    """Every kept version, newest first.

    Raises:
        DamagedVersionError: One of them, or the published file, cannot be read.
    """
    current = current_id(settings)
    found = []
    for path in version_paths(settings):
        try:
            found.append(_describe(path, is_current=path.stem == current))
        except DamagedVersionError:
            if path.exists():
                raise
    return found


def current_version(settings: Settings) -> Version:
    """The version that readers see.

    Raises:
        NoVersionError: Nothing is published.
        DamagedVersionError: The published file cannot be read.
    """
    return _describe(_current_path(settings), is_current=True)


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

    path = find_version(settings, version) if version else _current_path(settings)
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("set timezone = 'UTC'")
    return connection


def _current_path(settings: Settings) -> Path:
    """The own file of the version that readers see, or what they open when that has gone."""
    version_id = current_id(settings)
    if version_id is None:
        raise NoVersionError("nothing has been published yet", "run `make demo` or `lake build`")
    own = version_path(settings, version_id)
    return own if own.exists() else settings.published_file


def _read_id(path: Path) -> str:
    with _look_into(path) as connection:
        row = connection.execute("select version_id from version.lake.version").fetchone()
    return str(row[0]) if row else ""


def _describe(path: Path, *, is_current: bool) -> Version:
    with _look_into(path) as connection:
        row = connection.execute(
            "select version_id, epoch_us(published_at), invocation_id from version.lake.version"
        ).fetchone()
        counts = connection.execute(
            "select schema_name || '.' || table_name, row_count from version.lake.tables"
            " order by all"
        ).fetchall()
        size = path.stat().st_size
    assert row is not None  # noqa: S101 - a version without its own description cannot be made
    return Version(
        id=row[0],
        path=path,
        published_at=datetime.fromtimestamp(row[1] / 1e6, UTC),
        invocation_id=row[2],
        size_bytes=size,
        rows=dict(counts),
        is_current=is_current,
    )


@contextmanager
def _look_into(path: Path) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Open a version as ``version``, apart from every session of this process.

    DuckDB would give a second session on the published name the file that the first one has, which
    may be an older version by now.
    """
    import duckdb

    try:
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(path)} as version (read_only)")
            yield connection
    except (duckdb.Error, FileNotFoundError) as error:
        raise DamagedVersionError(
            f"the published file {path} cannot be read ({str(error).splitlines()[0]})",
            "run `lake rollback` if readers see it, remove it, then run `lake build`",
        ) from error
