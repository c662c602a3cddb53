"""dbt's manifest as Dagster sees it: parsed only when a file of the dbt project changed.

Parsing costs seconds, and every process of Dagster loads the definitions: each reads the file that
the first of them made. Here belongs keeping that file fresh. Here does not belong what its content
means. Must not import Dagster.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lakehouse.dbt.run import run_dbt
from lakehouse.errors import LakeError
from lakehouse.files import write_text_atomically
from lakehouse.locks import file_lock
from lakehouse.settings import Settings
from orchestration.dagster_home import dbt_target

_NOT_SOURCES = frozenset({"target", "logs", "dbt_packages", ".user.yml", "__pycache__"})
_SHOWN_LINES = 5


class DbtParseError(LakeError):
    """dbt cannot read the project as it stands."""


def load_manifest(settings: Settings) -> dict[str, Any]:
    """Read the manifest, parsing the project first if any file of it changed.

    Args:
        settings: The project.

    Raises:
        DbtParseError: dbt refuses the project.
    """
    folder = project_target(settings)
    with file_lock(folder / "lock", purpose="reading the dbt project"):
        # Taken before parsing: an edit while dbt reads makes the manifest stale again.
        fingerprint = _fingerprint(settings.dbt_dir)
        note = folder / "fingerprint"
        path = folder / "manifest.json"
        if not path.exists() or not note.exists() or note.read_text() != fingerprint:
            note.unlink(missing_ok=True)
            _parse(settings, folder)
            write_text_atomically(note, fingerprint)
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        return manifest


def project_target(settings: Settings) -> Path:
    """The folder of the manifest and of dbt's cache of parsed files."""
    return dbt_target(settings) / "project"


def _parse(settings: Settings, folder: Path) -> None:
    lines: list[str] = []
    args = ["parse", "--quiet", "--target-path", str(folder), "--log-path", str(folder)]
    code = run_dbt(settings, args, invoked_by="Dagster", on_line=lines.append)
    if code:
        told = " ".join(line.strip() for line in lines[-_SHOWN_LINES:]) or f"exit code {code}"
        raise DbtParseError(
            f"dbt cannot read the project in {settings.dbt_dir}: {told}",
            "correct it until `dbt parse` succeeds, then reload",
        )


def _fingerprint(project: Path) -> str:
    """A digest over every file's name, size and time, so that removed files count, too."""
    digest = hashlib.sha256(f"dbt-core {version('dbt-core')}".encode())
    for path in sorted(_files(project)):
        state = path.stat()
        line = f"\n{path.relative_to(project)} {state.st_size} {state.st_mtime_ns}"
        digest.update(line.encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in _NOT_SOURCES:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)
