"""The private build file's health: disposable, because raw can rebuild it.

Here belongs deciding, under the build lock, whether the file can be opened, and setting it aside
if not. Here does not belong what is in it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lakehouse.dbt.run_notes import has_other_layout
from lakehouse.settings import Settings

_PROBE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('checkpoint')"


def prepare(settings: Settings) -> str | None:
    """Make sure the next open of the build file succeeds. Call it only under the build lock.

    Args:
        settings: The project.

    Returns:
        A sentence for the log when the file had to be set aside, else None.
    """
    shutil.rmtree(settings.build_dir / "spill", ignore_errors=True)
    problem = _probe(settings.build_file)
    if problem is None:
        return None
    aside = settings.build_file.with_name(settings.build_file.name + ".broken")
    os.replace(settings.build_file, aside)
    _log_of(settings.build_file).unlink(missing_ok=True)
    return (
        f"the build file is of no use ({problem}); it was set aside as {aside.name} and "
        "everything is built again from raw"
    )


def _probe(build_file: Path) -> str | None:
    """Open the file the way dbt will.

    A process of its own tries when a write-ahead log shows that the last writer was killed:
    replaying a broken one can take the whole process down instead of raising.
    """
    import duckdb

    if not build_file.exists():
        _log_of(build_file).unlink(missing_ok=True)
        return None
    if _log_of(build_file).exists():
        command = [sys.executable, "-c", _PROBE, str(build_file)]
        probe = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"]
        if probe.returncode:
            return lines[-1]
    try:
        with duckdb.connect(str(build_file)) as connection:
            if has_other_layout(connection):
                return "another version of this project made it"
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return None


def _log_of(build_file: Path) -> Path:
    return build_file.with_name(build_file.name + ".wal")
