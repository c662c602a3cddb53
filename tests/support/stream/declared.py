"""The streams that this checkout declares, and the same declaration for a root of a test's own."""

import shutil
from pathlib import Path

from lakehouse.settings import Settings
from streaming.config import load_streams

REPOSITORY = Path(__file__).resolve().parents[3]
STREAMS = load_streams(Settings(root=REPOSITORY))
POWER, CLIMATE = STREAMS["power"], STREAMS["climate"]


def declare_streams(root: Path) -> None:
    """Give a root the declaration that commands look for."""
    target = Settings(root=root).dbt_dir / "dbt_project.yml"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "dbt_project" / "dbt_project.yml", target)
