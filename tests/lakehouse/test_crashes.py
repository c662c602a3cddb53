"""A process that dies between any two steps: readers, `lake` and the next build still agree."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.builds import leftovers, publish_build, published_build, seen_build, without_links
from support.mortal import Mortal

from lakehouse.publishing import current_version, list_versions, rollback
from lakehouse.publishing.blockers import Blocker
from lakehouse.publishing.held_back import held_back_file, write_held_back
from lakehouse.settings import Settings
from lakehouse.status import collect


def publish_three(settings: Settings) -> None:
    publish_build(settings, 3)


def publish_two_again(settings: Settings) -> None:
    publish_build(settings, 2)


def hold_back(settings: Settings) -> None:
    write_held_back(settings, [Blocker("model.lakehouse.numbers", "error")])


def go_back(settings: Settings) -> None:
    rollback(settings)


def go_forward(settings: Settings) -> None:
    rollback(settings, list_versions(settings)[0].id)


def nothing(settings: Settings) -> None:
    pass


CASES = [
    pytest.param(nothing, publish_three, {2, 3}, 3, id="publish"),
    pytest.param(go_back, publish_three, {1, 3}, 3, id="publish while rolled back"),
    pytest.param(hold_back, publish_three, {2, 3}, 3, id="publish what was held back"),
    pytest.param(nothing, hold_back, {2}, 2, id="hold back"),
    pytest.param(nothing, go_back, {1, 2}, None, id="roll back"),
    pytest.param(go_back, go_back, {0, 1}, None, id="roll back further"),
    pytest.param(go_back, go_forward, {1, 2}, None, id="roll forward"),
    pytest.param(go_back, publish_two_again, {1}, 1, id="idle build while rolled back"),
]


@pytest.mark.slow
@pytest.mark.guard
@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
@pytest.mark.parametrize(("before", "action", "builds", "ends_with"), CASES)
def test_a_death_after_any_step_leaves_readers_and_lake_with_one_version_that_the_next_build_keeps(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[Settings], None],
    action: Callable[[Settings], None],
    builds: set[int],
    ends_with: int | None,
    links: bool,
) -> None:
    if not links:
        without_links(monkeypatch)
    for number in (0, 1, 2):
        publish_build(settings, number)
    before(settings)
    steps, done = 0, False
    while not done:
        mine = replace(settings, root=tmp_path / str(steps))
        subprocess.run(["cp", "-a", str(settings.root), str(mine.root)], check=True)
        done = Mortal(monkeypatch).live(lambda: action(mine), steps=steps)  # noqa: B023
        _agree(mine, builds, f"after {steps} steps")
        last = published_build(mine)
        publish_build(mine, 3 if ends_with == 3 else 2)
        _agree(mine, builds, f"after {steps} steps and an idle build")
        if ends_with is not None:
            assert published_build(mine) == ends_with
        elif collect(mine).is_rolled_back:
            assert published_build(mine) == last, "an idle build does not undo a rollback"
        assert collect(mine).is_rolled_back == (not list_versions(mine)[0].is_current)
        assert leftovers(mine) == []
        assert not held_back_file(mine).exists()
        publish_build(mine, 9)
        _agree(mine, {9}, f"after {steps} steps and a new build")
        steps += 1
    assert steps > 1


def _agree(settings: Settings, builds: set[int], when: str) -> None:
    seen = seen_build(settings)
    assert seen in builds, when
    assert published_build(settings) == seen, when
    current = current_version(settings)
    assert [v for v in list_versions(settings) if v.is_current] == [current], when
    assert collect(settings).published == current, when
    assert current.rows["marts.numbers"] == 1000 + seen, when
