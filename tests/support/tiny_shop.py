"""The tiny dbt project over the customers of a real, small demo shop."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from demo.shop import seed
from lakehouse.settings import Settings
from support.checkout import copy_sources
from support.tiny_project import Tiny, make_tiny


def make_tiny_shop(root: Path) -> Tiny:
    """Write the project, with one test that always warns."""
    tiny = make_tiny(Settings(root=root))
    copy_sources(root)
    models = tiny.settings.dbt_dir / "models"
    replace(models / "members.sql", "select id", "select customer_id")
    replace(models / "tiny.yml", "name: id", "name: customer_id")
    warning = "{accepted_values: {arguments: {values: [2]}, config: {severity: warn}}}"
    replace(models / "tiny.yml", "name: one, data_tests: [", f"name: one, data_tests: [{warning}, ")
    return tiny


def replace(path: Path, old: str, new: str) -> None:
    """Replace in a file what must be in it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@contextmanager
def running_shop(settings: Settings) -> Iterator[str]:
    """The demo shop at a hundredth of its size, up for the block; yields its address."""
    with EmbeddedPostgres(settings) as server:
        dsn = server.dsn(SUPERUSER)
        seed(dsn, scale=0.01)
        yield dsn
