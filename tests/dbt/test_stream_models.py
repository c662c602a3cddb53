"""The streams' models tell the truth, in whatever order commits become visible.

The raw layer is written by the stream's own code, so these tests hold its half of the contract to
what the models expect of it.
"""

import copy
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.raw_log import compact_everything
from support.shop_raw import ShopLake, differences, make_shop_lake
from support.stream.declared import POWER, STREAMS
from support.stream.history import History, land_days, land_history, reveal
from support.stream.simulated import SimulatedPartition, some_readings

from streaming.config import MICRO, StreamConfig
from streaming.events import Event

# Each run of dbt costs seconds.
pytestmark = pytest.mark.slow

COMPARISON = "stream_agrees_with_the_recount_fct_power_minute"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return land_history(tmp_path_factory.mktemp("history") / "raw")


@pytest.fixture(scope="module")
def built_in_stages(history: History, tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    """Built four times, after more and more commits in an order that no stream would choose."""
    lake = make_shop_lake(tmp_path_factory.mktemp("stages") / "root")
    commits = history.commits()
    random.Random(11).shuffle(commits)
    quarter = len(commits) // 4
    reveal(history, lake.settings.raw_dir, commits[:quarter])
    lake.dbt("run")
    reveal(history, lake.settings.raw_dir, commits[quarter : 2 * quarter])
    # What a build has read and what it has not come to share a file, beside their own ones.
    compact_everything(lake.settings.raw_dir)
    # A run of a part: marts see commits that the models between have not seen.
    lake.dbt("run", "--select", "staging.base", "marts")
    reveal(history, lake.settings.raw_dir, commits[2 * quarter : 3 * quarter])
    compact_everything(lake.settings.raw_dir, keep_replaced=False)
    lake.dbt("run")
    reveal(history, lake.settings.raw_dir, commits[3 * quarter :])
    lake.dbt("build")
    return lake


def test_incremental_builds_equal_one_build_from_raw(
    built_in_stages: ShopLake, history: History, tmp_path: Path
) -> None:
    """In every model of every layer, row for row."""
    fresh = make_shop_lake(tmp_path / "root", target=built_in_stages.target)
    reveal(history, fresh.settings.raw_dir, history.commits())
    fresh.dbt("run")
    assert differences(built_in_stages, fresh) == {}


def minutes_of(lake: ShopLake, stream: StreamConfig) -> dict[tuple[str, int], tuple[Any, ...]]:
    measures = ", ".join(f"{m.name}_sum, {m.name}_min, {m.name}_max" for m in stream.measures)
    rows = lake.query(
        "select device, epoch_us(window_start), event_count, late_count, duplicate_count,"
        f" {measures} from marts.fct_{stream.name}_minute"
    )
    return {(row[0], row[1]): row[2:] for row in rows}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_minutes_are_the_truth_about_what_was_sent(
    built_in_stages: ShopLake, history: History, stream: StreamConfig
) -> None:
    truth = history.minutes(stream)
    assert minutes_of(built_in_stages, stream) == truth
    assert min(sum(minute[place] for minute in truth.values()) for place in (0, 1, 2)) > 10, (
        "the history has events, late ones and duplicates"
    )


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_every_record_is_somewhere(
    built_in_stages: ShopLake, history: History, stream: StreamConfig
) -> None:
    def value(sql: str) -> Any:
        return built_in_stages.query(sql)[0][0]

    outcomes = history.outcomes(stream)
    assert min(outcomes.values()) > 5
    staging = f"staging.stg_stream__{stream.name}_events"
    named = f"where stream = '{stream.name}'"
    assert value(f"select count(*) + sum(duplicate_count) from {staging}") == sum(
        outcomes[outcome] for outcome in ("accepted", "late", "duplicate")
    )
    dead = f"from quarantine.stream_dead_letter {named}"
    assert value(f"select count(*) {dead}") == outcomes["rejected"]
    ledger = f"from marts.stream_late_ledger {named}"
    assert value(f"select count(*) {ledger}") == outcomes["late"]
    late_events = value(f"select count(*) from {staging} where is_late")
    assert value(f"select count(*) {ledger} and is_counted") == late_events
    assert 0 < late_events < outcomes["late"], "some late records repeat a counted event"


def test_dead_letters_hold_the_original_bytes(built_in_stages: ShopLake, history: History) -> None:
    landed = {
        (sent.log_id, sent.partition, sent.offset): sent.message.value
        for sent in history.records[POWER.name]
        if sent.outcome == "rejected"
    }
    rows = built_in_stages.query(
        "select log_id, topic_partition, record_offset, payload"
        " from quarantine.stream_dead_letter where stream = 'power'"
    )
    assert {tuple(row[:3]): row[3] for row in rows} == landed


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_rollups_are_their_minutes(built_in_stages: ShopLake, stream: StreamConfig) -> None:
    """Recomputed here from the minutes, bucket by bucket."""
    for mart, length in (("five_minutes", 5), ("hour", 60)):
        numbers = "sum(event_count)::int8, sum(late_count)::int8, sum(live_count)::int8, " + (
            ", ".join(
                f"sum({m.name}_sum), min({m.name}_min), max({m.name}_max)" for m in stream.measures
            )
        )
        plain = "event_count, late_count, live_count, " + ", ".join(
            f"{m.name}_sum, {m.name}_min, {m.name}_max" for m in stream.measures
        )
        recomputed = (
            f"select device, epoch_us(window_start) // {length * 60_000_000} as place, {numbers}"
            f" from marts.fct_{stream.name}_minute group by all order by all"
        )
        stored = (
            f"select device, epoch_us(window_start) // {length * 60_000_000} as place, {plain}"
            f" from marts.fct_{stream.name}_{mart} order by all"
        )
        rows = built_in_stages.query(stored)
        assert rows == built_in_stages.query(recomputed)
        assert len(rows) > 3


class Watched:
    """One partition, checkpoint by checkpoint, and what the comparison finds."""

    def __init__(self, root: Path) -> None:
        self.lake = make_shop_lake(root)
        self.partition = SimulatedPartition(self.lake.settings.raw_dir)
        self.readings = some_readings(700)

    def next_records(self, count: int = 60) -> list[Any]:
        records, self.readings = self.readings[:count], self.readings[count:]
        return records

    def build(self, *, fails: bool = False) -> str:
        return self.lake.dbt("build", "--select", "source:stream+", fails=fails)

    def findings(self) -> list[dict[str, Any]]:
        """The rows that the comparison of the last build found, by running it again."""
        results = json.loads((self.lake.target / "run_results.json").read_text())["results"]
        (sql,) = (r["compiled_code"] for r in results if f".{COMPARISON}" in r["unique_id"])
        with_names = f"select to_json(found)::varchar from ({sql}) as found order by all"
        return [json.loads(row[0]) for row in self.lake.query(with_names)]


def test_a_build_between_two_files_is_green_and_a_lost_commit_is_red(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "root")
    partition = watched.partition
    partition.checkpoint(watched.next_records(120))
    watched.build()
    compared = watched.lake.query(
        "select count(*) from staging.stg_stream__power_windows where is_final"
    )
    assert compared[0][0] > 5

    # Minutes are there, their events are not yet.
    before = copy.deepcopy(partition)
    lost = watched.next_records()
    partition.checkpoint(lost, die_between_files=True)
    watched.build()

    # Later events are there: a listing may show a commit before an earlier one.
    partition.checkpoint(watched.next_records())
    watched.build()

    # By now the commit between will not come any more: that is a loss, and it is named.
    partition.checkpoint(watched.next_records())
    said = watched.build(fails=True)
    assert COMPARISON in said
    found = watched.findings()
    assert {row["problem"] for row in found} == {"differs"}
    assert all(row["stream_event_count"] > (row["recounted_event_count"] or 0) for row in found)
    assert "WARN 1 offsets_have_no_gaps" in said
    devices = {reading.device for reading in lost}
    assert {row["device"] for row in found} <= devices

    # Read again from the broker, it heals by itself.
    before.checkpoint(lost)
    assert "WARN=0" in watched.build()


def test_a_wrong_count_is_named_with_both_sides(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "root")
    partition = watched.partition
    partition.checkpoint(watched.next_records())
    honest = partition.windows.process

    def forgetful(event: Event, broker_us: int, offset: int) -> str:
        """Counts the first event of a minute twice, as a state that was restored badly would."""
        outcome = honest(event, broker_us, offset)
        window = partition.windows.changed.get(
            (event.device, event.at_us - event.at_us % 60_000_000)
        )
        if outcome == "accepted" and window is not None and window.count == 1 and not wrong:
            wrong.append((event.device, window.start, event.values[0]))
            window.add(event.values)
        return outcome

    wrong: list[tuple[str, int, int]] = []
    partition.windows.process = forgetful  # type: ignore[method-assign]
    partition.checkpoint(watched.next_records(120))
    partition.checkpoint(watched.next_records(120))
    watched.build(fails=True)
    (found,) = watched.findings()
    ((device, start, watt),) = wrong
    assert (found["problem"], found["device"]) == ("differs", device)
    assert watched.lake.query(f"select epoch_us('{found['window_start']}'::timestamptz)") == [
        (start,)
    ]
    assert found["stream_event_count"] == found["recounted_event_count"] + 1
    assert round((found["stream_watt_sum"] - found["recounted_watt_sum"]) * MICRO) == watt


def test_minutes_that_the_stream_never_counted_are_named(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "root")
    partition = watched.partition
    partition.checkpoint(watched.next_records())
    records = watched.next_records()
    partition.checkpoint(records)
    (swallowed,) = sorted(watched.lake.settings.raw_dir.glob("stream/power_windows/*/*"))[-1:]
    swallowed.unlink()
    partition.checkpoint(watched.next_records())
    partition.checkpoint(watched.next_records())
    watched.build(fails=True)
    found = watched.findings()
    assert "not counted" in {row["problem"] for row in found}


def test_the_last_hour_of_several_days_reads_little(tmp_path: Path) -> None:
    """In the published file, after builds that each saw some days, with late events in all."""
    lake = make_shop_lake(tmp_path / "root")
    land_days(lake.settings.raw_dir, range(4), per_day=100_000)
    lake.dbt("run")
    land_days(lake.settings.raw_dir, range(4, 6), per_day=100_000)
    lake.dbt("build")
    table = "marts.fct_power_reading"
    with duckdb.connect(str(lake.settings.published_file), read_only=True) as db:
        db.execute("set TimeZone = 'UTC'")
        newest, rows = db.execute(f"select max(event_at), count(*) from {table}").fetchall()[0]
        assert rows == 1_200_000
        last_hour = (
            f"select device, avg(watt), count(*) from {table}"
            f" where event_at > timestamptz '{newest - timedelta(hours=1)}' group by device"
        )
        counted = db.execute(last_hour).fetchall()
        plan = db.execute(f"explain (analyze, format json) {last_hour}").fetchall()[0][1]
    assert sum(row[2] for row in counted) > 8000
    scanned = json.loads(plan)["query"]
    assert scanned["total_row_groups_to_scan"] >= 10
    assert scanned["total_row_groups_scanned"] <= 2, "zone maps leave out the other days"
    assert scanned["total_rows_scanned"] < rows / 4
