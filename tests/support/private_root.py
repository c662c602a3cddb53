"""A project root for tests that run a PostgreSQL server."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_root() -> Iterator[Path]:
    """A folder that no other test session touches.

    Run by root, a server needs to pass every folder above its data; each start of pytest shuts
    the folder above its own temporary folders, also for the sessions that are still running.
    """
    folder = Path(tempfile.mkdtemp(prefix="lake-test-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
