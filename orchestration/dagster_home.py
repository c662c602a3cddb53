"""Dagster's home below ``data/``: its own storage and settings, apart from the data.

Here belongs where Dagster keeps things and the files it finds there. Here does not belong what it
orchestrates. Must not import Dagster: ``lake ui`` reads this before it starts anything.
"""

import os
from pathlib import Path

from lakehouse.files import write_text_atomically
from lakehouse.settings import Settings

_TEMPLATE = Path(__file__).with_name("home") / "dagster.yaml"

_FIRST_VISIT_SEEN = "seen: 1\n"
"""The UI asks every first visitor to join a mailing list; nothing here talks to the outside."""


def prepare_home(settings: Settings) -> Path:
    """Make the home, or bring an existing one up to date; runs and schedules in it are kept.

    Args:
        settings: The project.

    Returns:
        The home's folder.
    """
    home = settings.dagster_home
    (home / ".nux").mkdir(parents=True, exist_ok=True)
    _write(home / "dagster.yaml", _TEMPLATE.read_text(encoding="utf-8"))
    _write(home / ".nux" / "nux.yaml", _FIRST_VISIT_SEEN)
    return home


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What a Dagster process needs to know about the project, beside our own environment.

    Args:
        settings: The project.
    """
    return {
        **os.environ,
        "DAGSTER_HOME": str(settings.dagster_home),
        "LAKE_ROOT": str(settings.root),
    }


def dbt_target(settings: Settings) -> Path:
    """Where dbt writes for Dagster.

    Never the shell's ``target/``: two runs that share one overwrite each other's manifest.
    """
    return settings.dagster_home / "dbt"


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text_atomically(path, text)
