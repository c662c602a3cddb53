"""The spine's promises, on the real shop: kills, rebuilds, idle runs, time zones.

Small scale in the quick suite; the same promises with more rounds are marked slow.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.checkout import (
    DBT,
    LAKE,
    Checkout,
    leftovers,
    make_checkout,
    published,
    raw_bytes,
)
from support.private_root import private_root

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from demo.shop import seed, simulate_day
from lakehouse.publishing import list_versions
from lakehouse.settings import Settings


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[Settings, str, str]]:
    """A seeded shop: its settings, the owner's DSN and the extractor's."""
    with private_root() as folder, EmbeddedPostgres(Settings(root=folder)) as server:
        settings = Settings(root=folder)
        dsn = server.dsn(SUPERUSER)
        seed(dsn, seed=7, scale=0.02)
        yield settings, dsn, server.dsn("lake_extractor")


@pytest.fixture(scope="module")
def built(shop: tuple[Settings, str, str], tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Two days of the shop, extracted and published incrementally."""
    _, owner, extractor = shop
    checkout = make_checkout(tmp_path_factory.mktemp("built") / "root", source_dsn=extractor)
    checkout.extract()
    checkout.build()
    simulate_day(owner, seed=1)
    checkout.extract()
    checkout.build()
    return checkout


@pytest.mark.slow
@pytest.mark.guard
def test_a_rebuild_from_raw_gives_the_same_tables_row_for_row(
    built: Checkout, tmp_path: Path
) -> None:
    again = make_checkout(tmp_path / "again")
    shutil.copytree(built.settings.raw_dir, again.settings.raw_dir)
    again.build()
    assert published(again.settings) == published(built.settings)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Auckland"])
def test_the_time_zone_of_the_machine_changes_nothing(
    built: Checkout, tmp_path: Path, zone: str
) -> None:
    abroad = make_checkout(tmp_path / "abroad")
    shutil.copytree(built.settings.raw_dir, abroad.settings.raw_dir)
    abroad.build(TZ=zone, PGTZ=zone)
    assert published(abroad.settings) == published(built.settings)


def idle_runs(checkout: Checkout, runs: int) -> None:
    before = raw_bytes(checkout.settings)
    versions = [v.id for v in list_versions(checkout.settings)]
    for _ in range(runs):
        checkout.extract()
        checkout.build()
    assert raw_bytes(checkout.settings) == before
    assert [v.id for v in list_versions(checkout.settings)] == versions


@pytest.mark.slow
def test_idle_runs_write_nothing_and_publish_nothing(built: Checkout) -> None:
    idle_runs(built, 2)


@pytest.mark.slow
def test_ten_idle_runs_write_nothing_and_publish_nothing(built: Checkout) -> None:
    idle_runs(built, 10)


def kill_after(checkout: Checkout, seconds: float, *command: str | Path) -> None:
    """Start a command and kill it and nothing else with SIGKILL, unless it was faster."""
    victim = checkout.start(*command)
    time.sleep(seconds)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()


def disturb(shop: tuple[Settings, str, str], folder: Path, *, rounds: int, seed: int) -> None:
    """Kill an extract and a build a round, and compare with a checkout that was left in peace."""
    _, owner, extractor = shop
    disturbed = make_checkout(folder / "disturbed", source_dsn=extractor)
    calm = make_checkout(folder / "calm", source_dsn=extractor)
    moment = random.Random(seed)
    kill_after(disturbed, moment.uniform(0.5, 1.5), LAKE, "extract")
    for day in range(rounds):
        disturbed.extract()
        calm.extract()
        kill_after(disturbed, moment.uniform(1.0, 9.0), DBT, "build")
        simulate_day(owner, seed=100 + day)
        kill_after(disturbed, moment.uniform(0.0, 1.5), LAKE, "extract")
    for checkout in (disturbed, calm):
        checkout.extract()
        checkout.build()
    expected = published(calm.settings, marts_only=True)
    assert published(disturbed.settings, marts_only=True) == expected
    assert leftovers(disturbed.settings) == []
    from_raw = make_checkout(folder / "from_raw")
    shutil.copytree(disturbed.settings.raw_dir, from_raw.settings.raw_dir)
    from_raw.build()
    assert published(from_raw.settings) == published(disturbed.settings)


@pytest.mark.slow
@pytest.mark.guard
def test_killed_extracts_and_builds_lose_and_repeat_nothing(
    shop: tuple[Settings, str, str], tmp_path: Path
) -> None:
    disturb(shop, tmp_path, rounds=2, seed=11)


@pytest.mark.slow
def test_fifty_kills_lose_and_repeat_nothing(
    shop: tuple[Settings, str, str], tmp_path: Path
) -> None:
    disturb(shop, tmp_path, rounds=25, seed=12)


@pytest.mark.slow
def test_a_moved_checkout_goes_on(built: Checkout, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(built.settings.root, moved, symlinks=True)
    checkout = Checkout(replace(built.settings, root=moved))
    assert "nothing new to publish" in checkout.build()
