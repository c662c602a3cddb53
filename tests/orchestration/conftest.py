"""Projects in temporary roots: the real one, and one of a few nodes that builds in seconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from support.tiny_project import REPOSITORY, Tiny, make_tiny

from ingest.embedded import SUPERUSER, EmbeddedPostgres
from ingest.shop import seed
from lakehouse.settings import Settings
from orchestration.dbt_graph import DbtGraph, build_graph
from orchestration.dbt_manifest import load_manifest


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The real dbt project in a root of its own, nothing built."""
    root = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("target", "logs", "__pycache__")
    shutil.copytree(REPOSITORY / "dbt_project", root / "dbt_project", ignore=ignored)
    return Settings(root=root)


@pytest.fixture(scope="session")
def graph(project: Settings) -> DbtGraph:
    """The real dbt project as Dagster sees it."""
    return build_graph(load_manifest(project))


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A project of a few nodes over the customers of the demo shop."""
    tiny = make_tiny(Settings(root=tmp_path / "root"))
    for file in ("tiny.yml", "members.sql"):
        path = tiny.settings.dbt_dir / "models" / file
        text = path.read_text()
        text = text.replace("name: id", "name: customer_id").replace(
            "select id", "select customer_id"
        )
        path.write_text(text)
    return tiny


@pytest.fixture
def shop(tiny: Tiny) -> Iterator[str]:
    """The demo shop at a hundredth of its size, up for the whole test; yields an owner's address."""
    with EmbeddedPostgres(tiny.settings) as server:
        dsn = server.dsn(SUPERUSER)
        seed(dsn, scale=0.01)
        yield dsn


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage, on disk, so that the events of failed runs can be read, too."""
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield instance
