"""Checks of the warehouse: readers can open what is published, nobody blocks a build."""

import subprocess

from lakehouse.cli.duckdb_client import find_client
from lakehouse.cli.output import bytes_text
from lakehouse.doctor.check import Finding, ok, problem, skipped
from lakehouse.locks import current_holder
from lakehouse.publishing import current_version
from lakehouse.publishing.versions import version_sizes
from lakehouse.settings import Settings

_OPEN_SECONDS = 30


def published(settings: Settings) -> Finding:
    """The command-line client of the environment can read what was published."""
    if not settings.published_file.exists():
        return skipped("nothing is published yet; `lake demo` or `lake build` does it")
    command = [str(find_client()), "-readonly", "-no-init", "-csv", "-noheader"]
    done = subprocess.run(
        [*command, "-c", "select version()", str(settings.published_file)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_OPEN_SECONDS,
        check=False,
    )
    if done.returncode:
        return problem(
            f"the duckdb client cannot open {settings.published_file}: "
            + " ".join(done.stderr.split()),
            "run `lake rollback`, then `lake build`",
        )
    import duckdb

    kept = sum(version_sizes(settings))
    return ok(
        f"version {current_version(settings).id}; opened by client {done.stdout.strip()} and by "
        f"Python's {duckdb.__version__}; all versions take {bytes_text(kept)} of at most "
        f"{settings.keep_versions_gb:,} GB"
    )


def build(settings: Settings) -> Finding:
    """Whether somebody is building now."""
    holder = current_holder(settings.build_lock)
    if holder is None:
        return ok("nobody builds at the moment")
    return ok(f"in use by {holder}; a new build waits for it")
