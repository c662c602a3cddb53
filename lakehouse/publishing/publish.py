"""Turning a green build into a version: copy it, name it, show it to readers.

Here belongs the order of these steps, so that a crash between any two leaves readers with a whole
version. Here does not belong whether a build is green (``blockers``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.files import replace_atomically
from lakehouse.locks import file_lock
from lakehouse.publishing.blockers import Blocker
from lakehouse.publishing.content import (
    CURRENT_BUILD,
    apply_difference,
    attached,
    consumed_commits,
    copy_relations,
    same_content,
)
from lakehouse.publishing.held_back import held_back_file, name_nodes, write_held_back
from lakehouse.publishing.relations import Relation, find_relations
from lakehouse.publishing.reuse import (
    Base,
    Difference,
    copy_if_intact,
    find_base,
    find_difference,
    remember,
)
from lakehouse.publishing.switch import (
    READ_ONLY,
    is_rolled_back,
    publish_lock,
    remove_surplus,
    remove_unfinished,
    show,
)
from lakehouse.publishing.versions import current_id, version_path, version_paths
from lakehouse.raw import new_batch_id
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a build: the version readers now see, and one sentence for the log."""

    version: str | None
    message: str


def publish(
    connection: "duckdb.DuckDBPyConnection",
    settings: Settings,
    *,
    schemas: Sequence[str],
    tables: Sequence[tuple[str, str]],
    invocation_id: str,
) -> Outcome:
    """Publish what is public in the build file as a new version, if anything changed.

    Args:
        connection: The build file, with no transaction open.
        settings: The project.
        schemas: The public schemas; each exists in a version even when it has no table.
        tables: Pairs of schema and name of the tables and views that the dbt project publishes;
            leftovers of removed models are not among them and so disappear.
        invocation_id: The dbt run, recorded in the version.

    Raises:
        LakeError: A table or view cannot be copied; readers keep the version they have.
        OSError, duckdb.Error: Likewise, when the file cannot be written.
    """
    settings.versions_dir.mkdir(parents=True, exist_ok=True)
    held_back_file(settings).unlink(missing_ok=True)
    relations = find_relations(connection, CURRENT_BUILD, tables)
    with file_lock(publish_lock(settings), purpose="publishing"):
        remove_unfinished(settings)
        newest = next(iter(version_paths(settings)), None)
        if newest is not None and _is_unchanged(connection, newest, relations):
            outcome = _keep(settings, newest)
            remove_surplus(settings)
            return outcome
        version = version_path(settings, new_batch_id(newest.stem if newest else None))
        unfinished = version.with_name(f".{version.stem}.tmp")
        replaced_rows = _make(
            connection,
            unfinished,
            base=find_base(connection, newest),
            schemas=schemas,
            relations=relations,
            version_id=version.stem,
            invocation_id=invocation_id,
        )
        unfinished.chmod(READ_ONLY)
        # From here on there is something new, and no rollback holds any more.
        replace_atomically(unfinished, version)
        show(settings, version)
        remember(connection, version, replaced_rows)
        removed = remove_surplus(settings)
    forgotten = f", {len(removed)} older removed" if removed else ""
    return Outcome(version.stem, f"published version {version.stem}{forgotten}")


def _make(
    connection: "duckdb.DuckDBPyConnection",
    target: Path,
    *,
    base: Base | None,
    schemas: Sequence[str],
    relations: Sequence[Relation],
    version_id: str,
    invocation_id: str,
) -> int:
    """Write the version's file, out of the version before if that is less work.

    Returns:
        How many rows have been replaced since a version was copied row by row.
    """
    difference = _difference(connection, base, relations) if base else None
    if base and difference:
        if copy_if_intact(base, target) and apply_difference(
            connection,
            target,
            schemas=schemas,
            relations=relations,
            difference=difference,
            version_id=version_id,
            invocation_id=invocation_id,
        ):
            return difference.replaced_rows
        target.unlink()
    copy_relations(
        connection,
        target,
        schemas=schemas,
        relations=relations,
        version_id=version_id,
        invocation_id=invocation_id,
    )
    return 0


def _difference(
    connection: "duckdb.DuckDBPyConnection", base: Base, relations: Sequence[Relation]
) -> Difference | None:
    import duckdb

    try:
        with attached(connection, base.path) as name:
            in_base = find_relations(connection, name)
    except duckdb.Error:
        return None  # a damaged version is replaced
    return find_difference(connection, base, relations, in_base)


def hold_back(settings: Settings, blockers: Sequence[Blocker]) -> Outcome:
    """Record why this build is not published; readers keep the version they have.

    Args:
        settings: The project.
        blockers: The nodes that are not green; at least one.
    """
    named = name_nodes(write_held_back(settings, blockers).nodes)
    current = current_id(settings)
    keep = f"readers keep version {current}" if current else "nothing is published yet"
    return Outcome(None, f"not published: {named}; {keep}")


def _is_unchanged(
    connection: "duckdb.DuckDBPyConnection", newest: Path, relations: Sequence[Relation]
) -> bool:
    """Compare with the newest version, not with the one readers see after a rollback.

    New raw commits mean a new version without looking further: hashing every row as well as
    copying it would cost a tenth of the copy, and an unchanged input is the only case to catch.
    """
    import duckdb

    try:
        with attached(connection, newest) as name:
            return consumed_commits(connection, CURRENT_BUILD) == consumed_commits(
                connection, name
            ) and same_content(connection, relations, name)
    except duckdb.Error:
        # A damaged version is replaced; what is wrong in the build fails by name in the copy.
        return False


def _keep(settings: Settings, newest: Path) -> Outcome:
    if is_rolled_back(settings):
        current = current_id(settings)
        return Outcome(
            current,
            f"nothing new to publish; readers stay on {current} (rolled back from {newest.stem})",
        )
    # Also mends a publish that died between making the version and showing it to readers.
    show(settings, newest)
    return Outcome(newest.stem, f"nothing new to publish since version {newest.stem}")
