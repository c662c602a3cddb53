"""What a green build remembers, so that the next one costs what changed.

Two notes beside the build file. ``green.json`` says of which code and which raw commits the build
file and the newest version are: it goes when any run of dbt begins, and only a whole, green,
published ``dbt build`` writes it again. So it cannot outlive a red, partial, held-back or killed
run. ``unit_tests.json`` says which unit tests were green with which code; they prove code and not
data, so their green holds until the code changes.

Here belongs writing and comparing these notes. Here does not belong what is green: that is the
word of ``lakehouse.publishing.blockers``. Imports nothing heavy: an idle ``lake build`` must answer
at once.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse.dbt.fingerprint import read_code
from lakehouse.dbt.nodes import GREEN
from lakehouse.files import fsync_dir, write_text_atomically
from lakehouse.locks import current_holder
from lakehouse.publishing.switch import is_rolled_back
from lakehouse.publishing.versions import DamagedVersionError, current_id, version_paths
from lakehouse.raw.listing import list_commits, listing_cache
from lakehouse.settings import Settings

Table = tuple[str, str]
"""Source and name of a raw table."""

_UNIT_TEST = "unit_test."


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run began with.

    Attributes:
        fingerprint: Of its code; None when that cannot be vouched for.
        sources: Of each source the raw tables, and the digest of the commits that the build file
            is of when the run is green.
        is_known: Whether the last build was green with this code, so that what the run leaves out
            is green, too.
    """

    fingerprint: str | None
    sources: Mapping[str, Mapping[str, Any]]
    is_known: bool


def begin_run(
    settings: Settings,
    *,
    started_at: datetime,
    is_plain: bool,
    selected: Iterable[str],
    tables: Iterable[Table],
    read: Collection[str],
) -> Begun:
    """Forget what a run may change. Call it under the build lock, before the run reads raw.

    Args:
        settings: The project.
        started_at: When dbt started, in UTC; a file that changed later may not be what it read.
        is_plain: Whether nothing but the project's files says what the run does.
        selected: Unique ids of what the run builds and tests.
        tables: The raw tables that the project reads.
        read: The sources of which this run reads new commits.
    """
    before = _read(_green_file(settings))
    _drop(_green_file(settings))
    _forget_unit_tests(settings, selected)
    code = read_code(settings)
    is_as_read = code.changed_at < started_at.timestamp()
    fingerprint = code.fingerprint if is_plain and is_as_read else None
    is_known = fingerprint is not None and before.get("fingerprint") == fingerprint
    sources = {
        source: before["sources"][source]
        if is_known and source not in read
        else {"tables": names, "commits": _digest(settings, source, names)}
        for source, names in _by_source(tables).items()
    }
    return Begun(fingerprint, sources, is_known)


def remember_unit_tests(
    settings: Settings, begun: Begun, *, results: Mapping[str, str], unit_tests: Sequence[str]
) -> None:
    """Note the unit tests that a run proved.

    Args:
        settings: The project.
        begun: What the run began with.
        results: Unique id of each node of the run to its dbt status.
        unit_tests: Unique ids of all the project's unit tests.
    """
    if begun.fingerprint is None:
        return
    note = _read(_unit_tests_file(settings))
    known = note.get("green", []) if note.get("fingerprint") == begun.fingerprint else []
    proven = {name for name, status in results.items() if _is_unit_test(name) and status in GREEN}
    green = sorted(({*known} | proven) & {*unit_tests})
    _write(
        _unit_tests_file(settings),
        {
            "fingerprint": begun.fingerprint,
            "is_complete": len(green) == len({*unit_tests}),
            "green": green,
        },
    )


def remember_build(
    settings: Settings, begun: Begun, *, results: Iterable[str], nodes: Iterable[str]
) -> None:
    """Note that the newest version is of this run's code and commits.

    Call it at the end of a run that is green and published. Nothing is noted when the run left out
    a part of the project that may be older than the code.

    Args:
        settings: The project.
        begun: What the run began with.
        results: Unique ids of what the run built and tested.
        nodes: Unique ids of all the project's models, seeds, snapshots and data tests.
    """
    newest = next(iter(version_paths(settings)), None)
    is_whole = {*nodes} <= {*results}
    if begun.fingerprint is None or newest is None or not (is_whole or begun.is_known):
        return
    if proven_fingerprint(settings) != begun.fingerprint:
        return
    _write(
        _green_file(settings),
        {
            "fingerprint": begun.fingerprint,
            "sources": begun.sources,
            "version": newest.stem,
        },
    )


def forget_lost_build(settings: Settings) -> None:
    """Drop the notes about a build file that is not there. Call it under the build lock."""
    if not settings.build_file.exists():
        _drop(_green_file(settings))
        _drop(_unit_tests_file(settings))


def nothing_to_build(settings: Settings) -> str | None:
    """Whether a build would find everything as the last one left it.

    Opens no database and waits for nobody.

    Args:
        settings: The project.

    Returns:
        What readers see and why nothing is to be done, as one sentence; None when something
        changed, is unfinished or cannot be told.
    """
    if changed_sources(settings) != []:
        return None
    newest, current = version_paths(settings)[0].stem, current_id(settings)
    if current != newest:
        return f"nothing new to publish; readers stay on {current} (rolled back from {newest})"
    return f"nothing new to publish since version {newest}"


def changed_sources(settings: Settings) -> list[str] | None:
    """Which sources have other commits than the last green build, with the same code.

    Args:
        settings: The project.

    Returns:
        Their names; None when the code has changed too, or when it cannot be told.
    """
    note = _read(_green_file(settings))
    newest = next(iter(version_paths(settings)), None)
    try:
        current = current_id(settings)
    except DamagedVersionError:
        return None  # a build mends that
    if newest is None or newest.stem != note.get("version"):
        return None
    if current != newest.stem and not is_rolled_back(settings):
        return None  # a publish died before readers saw it; a build mends that
    if not settings.build_file.is_file() or current_holder(settings.build_lock):
        return None
    if read_code(settings).fingerprint != note["fingerprint"]:
        return None
    return [
        source
        for source, known in note["sources"].items()
        if _digest(settings, source, known["tables"]) != known["commits"]
    ]


def unit_tests_are_proven(settings: Settings) -> bool:
    """Whether every unit test was green with the code as it is now."""
    proven = proven_fingerprint(settings)
    return proven is not None and proven == read_code(settings).fingerprint


def proven_fingerprint(settings: Settings) -> str | None:
    """The code with which every unit test was green; None when there is none."""
    note = _read(_unit_tests_file(settings))
    if not note.get("is_complete") or not settings.build_file.is_file():
        return None
    return str(note["fingerprint"])


def commits_digest(raw_dir: Path, tables: Iterable[Table]) -> str:
    """A digest of the names of all commits, whichever file holds them.

    Args:
        raw_dir: The raw layer.
        tables: The tables to look at.
    """
    digest = hashlib.sha256()
    for source, table in tables:
        cache = listing_cache(raw_dir, source, table)
        listing = list_commits(raw_dir / source / table, cache)
        digest.update(f"{source}/{table} {listing.digest}\n".encode())
    return digest.hexdigest()


def _digest(settings: Settings, source: str, tables: Iterable[str]) -> str:
    return commits_digest(settings.raw_dir, [(source, table) for table in tables])


def _by_source(tables: Iterable[Table]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for source, table in sorted(tables):
        names.setdefault(source, []).append(table)
    return names


def _forget_unit_tests(settings: Settings, selected: Iterable[str]) -> None:
    """A run that is about to try some may end red or not at all."""
    path = _unit_tests_file(settings)
    note, tried = _read(path), {name for name in selected if _is_unit_test(name)}
    if note and tried:
        green = [name for name in note["green"] if name not in tried]
        _write(path, {**note, "is_complete": False, "green": green})


def _is_unit_test(unique_id: str) -> bool:
    return unique_id.startswith(_UNIT_TEST)


def _green_file(settings: Settings) -> Path:
    return settings.build_dir / "green.json"


def _unit_tests_file(settings: Settings) -> Path:
    return settings.build_dir / "unit_tests.json"


def _read(path: Path) -> dict[str, Any]:
    """A note; empty when there is none that can be read."""
    with suppress(OSError, ValueError):
        note = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(note, dict):
            return note
    return {}


def _write(path: Path, note: Mapping[str, object]) -> None:
    write_text_atomically(path, json.dumps(note, indent=2) + "\n")


def _drop(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
        fsync_dir(path.parent)  # without it a crash could bring the note back
