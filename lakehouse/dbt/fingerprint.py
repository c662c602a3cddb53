"""What decides the result of a build beside the raw commits, as one digest.

Here belongs reading it: the dbt project, the kernel's code that builds, the versions of the tools,
the environment that the project asks for. Here does not belong what follows from a change
(``lakehouse.dbt.green``). Imports nothing heavy: an idle ``lake build`` must answer at once.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lakehouse.settings import Settings

_KERNEL = Path(__file__).resolve().parents[1]
_KERNEL_PARTS = ("dbt", "publishing", "raw")
_TOOLS = ("dbt-core", "dbt-adapters", "dbt-common", "dbt-duckdb", "duckdb")
_SHARED = ("dbt_project.yml", "macros/**/*.sql", "models/**/*__sources.yml")
"""Variables, macros, and the sources' columns and rules: what all models share."""
_MADE_BY_DBT = frozenset({"target", "logs", ".user.yml"})
_NOT_CODE = frozenset({"__pycache__", ".DS_Store"})
_NAMED_VARIABLE = re.compile(rb"""env_var\(\s*['"](\w+)""")
_ONLY_LOOKS = ("DBT_USE_COLORS", "DBT_LOG_", "DBT_PRINTER_WIDTH", "DBT_QUIET")
"""Variables by which dbt decides how it talks, not what it does."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a build is made by.

    Attributes:
        fingerprint: Equal for two builds if and only if nothing that decides differs.
        changed_at: When a file of it last changed, was renamed or removed: seconds since 1970 by
            the file system's own clock, which no copying tool can set back.
    """

    fingerprint: str
    changed_at: float


def read_code(settings: Settings) -> Code:
    """Read every file that decides the result of a build.

    Args:
        settings: The project.
    """
    digest = hashlib.sha256()
    changed_at = 0.0
    named: set[str] = set()
    for label, path in sorted(_files(settings.dbt_dir)):
        try:
            content, changed = path.read_bytes(), path.stat().st_ctime
        except FileNotFoundError:
            continue  # an editor's temporary file; that it went changed its folder
        _add(digest, label, content)
        changed_at = max(changed_at, changed)
        named.update(name.decode() for name in _NAMED_VARIABLE.findall(content))
    for folder in _folders(settings.dbt_dir):
        changed_at = max(changed_at, folder.stat().st_ctime)
    for name, value in sorted(_variables(named, os.environ).items()):
        _add(digest, name, value.encode(errors="surrogateescape"))
    for tool in _TOOLS:
        _add(digest, tool, _version(tool).encode())
    _add(digest, "python", sys.version.encode())
    return Code(digest.hexdigest(), changed_at)


def shared_code(settings: Settings) -> str:
    """A fingerprint of the code that all models share, besides each one's own SQL.

    Another one makes incremental models build themselves anew (``macros/incremental``).

    Args:
        settings: The project.
    """
    digest = hashlib.sha256()
    for pattern in _SHARED:
        for path in sorted(settings.dbt_dir.glob(pattern)):
            _add(digest, path.relative_to(settings.dbt_dir).as_posix(), path.read_bytes())
    return digest.hexdigest()[:32]


def _files(project: Path) -> Iterator[tuple[str, Path]]:
    """The files with a name that does not depend on where the checkout is."""
    for root, folders, names in os.walk(project, followlinks=True):
        folder = Path(root)
        ignored = _NOT_CODE | (_MADE_BY_DBT if folder == project else frozenset())
        folders[:] = [name for name in folders if name not in ignored]
        for name in names:
            if name not in ignored:
                path = folder / name
                yield f"project/{path.relative_to(project).as_posix()}", path
    for part in _KERNEL_PARTS:
        for path in (_KERNEL / part).rglob("*.py"):
            yield f"kernel/{path.relative_to(_KERNEL).as_posix()}", path


def _folders(project: Path) -> Iterator[Path]:
    """Folders below the project's own, in which dbt makes ``target`` and ``logs``."""
    for root, folders, _ in os.walk(project, followlinks=True):
        ignored = _NOT_CODE | (_MADE_BY_DBT if Path(root) == project else frozenset())
        folders[:] = [name for name in folders if name not in ignored]
        yield from (Path(root) / name for name in folders)


def _variables(named: set[str], environment: Mapping[str, str]) -> dict[str, str]:
    """What the project reads with ``env_var``, and dbt's own settings."""
    return {
        name: value
        for name, value in environment.items()
        if name in named or (name.startswith("DBT_") and not name.startswith(_ONLY_LOOKS))
    }


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return "not installed"


def _add(digest: "hashlib._Hash", label: str, content: bytes) -> None:
    # With its length, so that no two lists of files can run together to the same bytes.
    digest.update(f"{label}\n{len(content)}\n".encode())
    digest.update(content)
