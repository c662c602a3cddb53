"""The DuckDB command-line client of the environment, on published versions only.

Here belongs starting it read-only. Here does not belong which version: see
``lakehouse.publishing``.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from lakehouse.errors import LakeError
from lakehouse.publishing import current_version
from lakehouse.publishing.as_of import find_version_as_of
from lakehouse.settings import Settings

_UTC = ("-cmd", "set timezone = 'UTC'")
# Without a fixed mode the client asks the terminal for its colours and waits 5 s for an answer.
_PLAIN = ("-dark-mode", "-cmd", ".highlight off")
_READ_ONLY_SIGN = "read-only mode"


class QueryError(LakeError):
    """A query that DuckDB refused."""


def find_client() -> Path:
    """The ``duckdb`` of the running interpreter's environment.

    Raises:
        LakeError: It has none.
    """
    # The script of that name in bin/ only starts this binary and would swallow our signals.
    spec = importlib.util.find_spec("duckdb_cli")
    client = Path(spec.origin).with_name("duckdb") if spec and spec.origin else None
    if client is None or not client.is_file():
        raise LakeError(f"there is no duckdb client for {sys.executable}", "run `make env`")
    return client


def published_path(settings: Settings, version: str | None) -> Path:
    """The file to open: the name that readers open, or that of an earlier version.

    Args:
        settings: The project.
        version: Id, part of it, or a time; None means the one that readers see.

    Raises:
        NoVersionError: There is no such version.
    """
    if version is not None:
        return find_version_as_of(settings, version)
    current_version(settings)
    return settings.published_file


def open_prompt(path: Path) -> NoReturn:
    """Become an interactive client; standard input may also be a script.

    Args:
        path: The published file.
    """
    client = str(find_client())
    os.execv(client, [client, "-readonly", *_UTC, str(path)])  # noqa: S606 - exec is the point


def run_query(path: Path | None, query: str, *, form: str | None = None) -> None:
    """Run a query and let the client write its result to standard output.

    Args:
        path: The published file; None for a query that names the files it reads.
        query: SQL, or one of the client's dot commands.
        form: ``csv`` or ``json``; None means a table.

    Raises:
        QueryError: DuckDB refused the query.
    """
    # Whoever scripts this must get the same on every machine: no ~/.duckdbrc.
    options = ["-no-init", *_PLAIN, *_UTC, *([f"-{form}"] if form else []), "-c", query]
    database = [":memory:"] if path is None else ["-readonly", str(path)]
    command = [str(find_client()), *options, *database]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode == 0:
        sys.stderr.write(done.stderr)
        return
    message = " ".join(done.stderr.split())
    if _READ_ONLY_SIGN in message:
        raise QueryError(
            "published versions are read-only, so this statement changed nothing",
            "change a model in dbt_project/ and run `lake build`",
        )
    raise QueryError(f"the query failed: {message}", 'see the tables with `lake sql ".tables"`')
