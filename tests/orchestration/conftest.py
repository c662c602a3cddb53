"""Projects in temporary roots: the real one, and one of a few nodes that builds in seconds."""

from collections.abc import Iterator

import dagster as dg
import pytest
from support.checkout import make_checkout
from support.private_root import private_root
from support.servers import pg_dsn, pg_server
from support.tiny_project import Tiny
from support.tiny_shop import make_tiny_shop

from lakehouse.settings import Settings
from orchestration.dbt_graph import DbtGraph, build_graph
from orchestration.dbt_manifest import load_manifest

__all__ = ["pg_dsn", "pg_server"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The real dbt project in a root of its own, nothing built."""
    return make_checkout(tmp_path_factory.mktemp("project") / "root").settings


@pytest.fixture(scope="session")
def graph(project: Settings) -> DbtGraph:
    """The real dbt project as Dagster sees it."""
    return build_graph(load_manifest(project))


@pytest.fixture(scope="module")
def tiny() -> Iterator[Tiny]:
    """A project of a few nodes over the demo shop's customers; the tests of a file share it."""
    with private_root() as root:
        yield make_tiny_shop(root)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage, on disk, without telemetry."""
    home = str(tmp_path_factory.mktemp("home"))
    quiet = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(home, overrides=quiet) as instance:
        yield instance
