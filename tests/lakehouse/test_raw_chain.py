"""`lake raw verify` sees that a commit has gone from between others, and names it."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.raw_log import TODAY, YESTERDAY, land, land_many

from lakehouse.raw import RawTable
from lakehouse.raw.chain import FOLLOWS, prefix_digest, prefix_digests
from lakehouse.raw.compact import compact
from lakehouse.raw.verify import Verified, verify


@pytest.fixture
def table(tmp_path: Path) -> RawTable:
    return RawTable(tmp_path / "raw", "shop", "customers")


def bad(table: RawTable) -> list[Verified]:
    return [found for found in verify(table.raw_dir) if found.problem]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_commit_that_was_deleted_before_others_is_named_with_the_next_command(
    table: RawTable, place: int
) -> None:
    ids = land_many(table, YESTERDAY, 4)
    table.path_of(ids[place]).unlink()
    (gap,) = bad(table)
    assert gap.path == table.path_of(ids[place])
    assert ids[place] in str(gap.problem)
    assert ids[place + 1] in str(gap.problem)
    assert "run `lake extract customers`" in str(gap.problem)


def test_several_deleted_commits_are_named(table: RawTable) -> None:
    ids = land_many(table, YESTERDAY, 6)
    for place in (1, 3):
        table.path_of(ids[place]).unlink()
    assert [found.path.stem for found in bad(table)] == [ids[1], ids[3]]


def test_the_newest_commit_can_go_unnoticed_because_extraction_lands_it_again(
    table: RawTable,
) -> None:
    ids = land_many(table, YESTERDAY, 3)
    table.path_of(ids[2]).unlink()
    assert bad(table) == []


def test_a_gap_that_extraction_has_closed_is_none(table: RawTable) -> None:
    ids = land_many(table, YESTERDAY, 4)
    table.path_of(ids[1]).unlink()
    assert len(bad(table)) == 1
    land(table, TODAY, [1, 2, 3])
    assert bad(table) == []


def test_a_gap_between_compacted_commits_is_seen(table: RawTable) -> None:
    ids = land_many(table, YESTERDAY, 6)
    table.path_of(ids[2]).unlink()
    compact(table, now=TODAY)
    compact(table, grace=timedelta(seconds=-1))
    assert [found.path.stem for found in bad(table)] == [ids[2]]


def test_commits_without_a_digest_are_held_together_by_their_watermarks(table: RawTable) -> None:
    ids = [land(table, YESTERDAY + timedelta(minutes=n), [n], details={"a": 1}) for n in range(4)]
    assert bad(table) == []
    table.path_of(ids[1]).unlink()
    (gap,) = bad(table)
    assert gap.path.stem == ids[2]
    assert f"{YESTERDAY + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}" in str(gap.problem)


def records(first: int, last: int, partition: int = 0, log_id: str = "log") -> dict[str, object]:
    """What the footer of a commit of a stream's records says."""
    return {
        "log_id": log_id,
        "partition": partition,
        "first_offset": first,
        "last_offset": last,
        "event_at_min": 1,
    }


def test_a_hole_in_the_offsets_of_a_partition_is_named(tmp_path: Path) -> None:
    table = RawTable(tmp_path / "raw", "stream", "power_events")
    ranges = [
        records(0, 9),
        records(100, 109, partition=1),
        records(10, 19),
        records(5, 19),
        records(20, 29),
        records(110, 119, partition=1),
        records(3, 9, log_id="another"),
        records(9, 12),
    ]
    ids = [
        land(table, YESTERDAY + timedelta(minutes=n), [n], details=details)
        for n, details in enumerate(ranges)
    ]
    assert bad(table) == []
    table.path_of(ids[3]).unlink()
    assert bad(table) == [], "its offsets are in others, too"
    table.path_of(ids[2]).unlink()
    (gap,) = bad(table)
    assert gap.path.stem == ids[4]
    assert "offsets 13 to 19 of partition 0" in str(gap.problem)
    assert "Kafka" in str(gap.problem)


def test_offsets_that_a_footer_explains_are_no_hole(tmp_path: Path) -> None:
    table = RawTable(tmp_path / "raw", "stream", "power_events")
    ranges = [
        records(7, 9) | {"after_offset": -1},
        records(12, 19) | {"after_offset": 9},
        records(25, 29) | {"after_offset": 19},
    ]
    ids = [
        land(table, YESTERDAY + timedelta(minutes=n), [n], details=details)
        for n, details in enumerate(ranges)
    ]
    assert bad(table) == []
    table.path_of(ids[1]).unlink()
    (gap,) = bad(table)
    assert "offsets 10 to 19 of partition 0" in str(gap.problem)
    table.path_of(ids[0]).unlink()
    assert ["offsets 0 to 19" in str(found.problem) for found in bad(table)] == [True]


def test_windows_have_no_offsets_to_miss(tmp_path: Path) -> None:
    table = RawTable(tmp_path / "raw", "stream", "power_windows")
    for n, (first, last) in enumerate([(0, 9), (30, 40)]):
        details = {k: v for k, v in records(first, last).items() if k != "event_at_min"}
        land(table, YESTERDAY + timedelta(minutes=n), [n], details=details)
    assert bad(table) == []


def test_prefix_digests_are_those_of_the_prefixes() -> None:
    ids = ["a", "b", "c"]
    assert prefix_digests(ids) == [prefix_digest(ids[:n]) for n in range(4)]
    assert FOLLOWS == "follows"
