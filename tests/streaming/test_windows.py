"""Minutes: the reducer says what an exact SQL computation says, for any order of arrival."""

from typing import NamedTuple

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stream.declared import POWER

from streaming.config import MINUTE_US, SECOND_US
from streaming.events import Event, parse_time
from streaming.window_state import Window
from streaming.windows import ACCEPTED, DUPLICATE, FORGET_US, LATE, PartitionWindows

START = parse_time("2026-03-01T12:00:00Z")
GRACE, IDLE = POWER.grace_us, POWER.idle_us

CLOCK = f"seen.clock + greatest(0, now.heard_at - seen.heard - {IDLE})"
EXACT = f"""
with recursive ordered as (
    select
        *,
        max(broker) over (order by seq) as heard_at,
        row_number() over (partition by device order by seq) as turn,
        moment - (moment % {MINUTE_US}) as start
    from record
),
decided as (
    select
        device, turn, seq, start, moment, value,
        moment as clock, heard_at as heard, false as late
    from ordered
    where turn = 1
    union all
    select
        now.device, now.turn, now.seq, now.start, now.moment, now.value,
        greatest(now.moment, {CLOCK}),
        now.heard_at,
        now.start + {MINUTE_US + GRACE}
            <= {CLOCK}
    from decided as seen
    inner join ordered as now on now.device = seen.device and now.turn = seen.turn + 1
),
marked as (
    select
        *,
        case
            when late then 'late'
            when row_number() over (partition by device, late, moment order by seq) > 1
                then 'duplicate'
            else 'accepted'
        end as outcome
    from decided
)
"""


class Record(NamedTuple):
    """An event with its place in the log."""

    seq: int
    device: str
    at: int
    broker: int
    value: int


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A partition's records: shuffled, duplicated, late, silent for a while, at the edges."""
    edges = st.sampled_from([0, 1, MINUTE_US - 1, MINUTE_US - 1000, 30 * SECOND_US])
    moments = st.builds(lambda m, e: m * MINUTE_US + e, st.integers(0, 6), edges) | st.integers(
        0, 6 * MINUTE_US
    )
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from("ab"),
                moments,
                st.integers(-5, 120).map(lambda s: s * SECOND_US),
                st.integers(-1000, 1000),
            ),
            max_size=40,
        )
    )
    broker, records = START, []
    for seq, (device, at, step, value) in enumerate(rows):
        broker += step if step < 60 * SECOND_US else step // 100
        records.append(Record(seq, device, START + at, broker, value))
    return records


def run(records: list[Record]) -> tuple[list[str], PartitionWindows]:
    windows = PartitionWindows(POWER)
    outcomes = []
    for record in records:
        event = Event(record.device, record.at, (record.value,), (), False)
        outcomes.append(windows.process(event, record.broker, record.seq))
    return outcomes, windows


def aggregates(window: Window) -> tuple[int, int, int, int, int]:
    return (window.count, window.duplicates, window.sums[0], window.lows[0], window.highs[0])


def exact(records: list[Record], query: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as db:
        db.execute(
            "create table record (seq int, device text, moment int8, broker int8, value int8)"
        )
        if records:
            db.executemany("insert into record values (?, ?, ?, ?, ?)", records)
        return db.execute(EXACT + query).fetchall()


@settings(max_examples=100)
@given(logs())
def test_reducer_equals_exact_sql(records: list[Record]) -> None:
    outcomes, windows = run(records)
    assert outcomes == [row[0] for row in exact(records, "select outcome from marked order by seq")]
    expected = exact(
        records,
        """select device, start, count(*) filter (outcome = 'accepted'),
            count(*) filter (outcome = 'duplicate'), sum(value) filter (outcome = 'accepted'),
            min(value) filter (outcome = 'accepted'), max(value) filter (outcome = 'accepted')
        from marked where not late group by device, start order by device, start""",
    )
    found = [(*key, *aggregates(window)) for key, window in sorted(windows.changed.items())]
    assert found == expected


@settings(max_examples=80)
@given(logs(), st.data())
def test_each_minute_is_final_once_whenever_silence_is_looked_at(
    records: list[Record], data: st.DataObject
) -> None:
    windows = PartitionWindows(POWER)
    for record in records:
        event = Event(record.device, record.at, (record.value,), (), False)
        windows.process(event, record.broker, record.seq)
        if data.draw(st.booleans()):
            windows.close_silent()
    end = windows.state.clock.broker_us + GRACE + IDLE + 10 * MINUTE_US
    windows.emit_silent(end)
    windows.emit_silent(end + SECOND_US)
    emitted = [(name, window.start) for name, window in windows.to_emit]
    assert len(emitted) == len(set(emitted))
    assert sorted(emitted) == sorted(windows.changed)
    assert all(window.version >= 0 for _, window in windows.to_emit)
    assert run(records)[0].count(ACCEPTED) == sum(window.count for _, window in windows.to_emit)


def outcome_of(
    windows: PartitionWindows,
    second: float,
    broker_second: float,
    device: str = "a",
    *,
    stamped: bool = True,
) -> str:
    event = Event(device, START + int(second * SECOND_US), (1,), (), False)
    broker_us = START + int(broker_second * SECOND_US)
    return windows.process(event, broker_us, 0, stamped=stamped)


def test_the_edges_of_a_minute() -> None:
    windows = PartitionWindows(POWER)
    for second in (0, 59.999999, 60):
        assert outcome_of(windows, second, second) == ACCEPTED
    assert {start: w.count for (_, start), w in windows.changed.items()} == {
        START: 2,
        START + MINUTE_US: 1,
    }


def test_grace_ends_exactly_where_it_says() -> None:
    windows = PartitionWindows(POWER)
    outcome_of(windows, 1, 1)
    outcome_of(windows, 60 + GRACE / SECOND_US - 1e-6, 69)
    assert outcome_of(windows, 2, 69) == ACCEPTED
    assert outcome_of(windows, 2, 69) == DUPLICATE
    outcome_of(windows, 60 + GRACE / SECOND_US, 70)
    assert outcome_of(windows, 3, 70) == LATE
    assert [window.count for _, window in windows.to_emit] == [2]


def test_a_silent_device_is_final_by_the_brokers_clock_and_what_comes_then_is_late() -> None:
    windows = PartitionWindows(POWER)
    outcome_of(windows, 30, 30)
    windows.observe(START + (60 + 10 + 15 - 1) * SECOND_US)
    windows.close_silent()
    assert windows.to_emit == []
    windows.observe(START + (60 + 10 + 15) * SECOND_US)
    windows.close_silent()
    assert len(windows.to_emit) == 1
    assert outcome_of(windows, 31, 86) == LATE


def test_recorded_events_sent_in_a_hurry_or_slowly_are_not_late() -> None:
    for event_seconds, log_seconds in ((10, 0.001), (1, 14)):
        windows = PartitionWindows(POWER)
        outcomes = {
            outcome_of(windows, n * event_seconds, 3600 + n * log_seconds) for n in range(90)
        }
        assert outcomes == {ACCEPTED}


def test_one_devices_clock_closes_nobody_elses_minute() -> None:
    windows = PartitionWindows(POWER)
    outcome_of(windows, 0, 0)
    windows.process(Event("b", START + 240 * SECOND_US, (1,), (), False), START, 1)
    assert outcome_of(windows, 1, 1) == ACCEPTED


@pytest.mark.parametrize("delay", [0, 30, 85, 3000])
@pytest.mark.parametrize("pause", [16, 70, 600, 3500])
def test_a_device_with_a_constant_delay_loses_nothing_by_a_pause(delay: int, pause: int) -> None:
    windows = PartitionWindows(POWER)
    seconds = [*range(120), *range(120 + pause, 240 + pause)]
    outcomes = [outcome_of(windows, second, second + delay) for second in seconds]
    assert set(outcomes) == {ACCEPTED}


@pytest.mark.parametrize("change", [-70, 70, 600])
def test_a_device_whose_delay_has_changed_loses_nothing_for_long(change: int) -> None:
    """Its clock was set, or its way became longer, while it was silent."""
    windows = PartitionWindows(POWER)
    for second in range(120):
        outcome_of(windows, second, second + 80)
    outcomes = [outcome_of(windows, second, second + 80 + change) for second in range(220, 1500)]
    late = len([outcome for outcome in outcomes if outcome == LATE])
    assert late <= max(0, change)
    assert set(outcomes[700:]) == {ACCEPTED}


def test_a_slow_device_holds_nobody_back_and_a_fast_one_hurries_nobody() -> None:
    windows = PartitionWindows(POWER)
    for second in range(400):
        assert outcome_of(windows, second, second, "now") == ACCEPTED
        assert outcome_of(windows, second - 300, second, "slow") == ACCEPTED
        assert outcome_of(windows, second + 250, second, "ahead") == ACCEPTED
    closed = {name: start - START for name, start in sorted(newest_closed(windows).items())}
    assert closed == {"ahead": 540 * SECOND_US, "now": 300 * SECOND_US, "slow": 0}


def newest_closed(windows: PartitionWindows) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, window in windows.to_emit:
        found[name] = max(window.start, found.get(name, 0))
    return found


def test_a_forgotten_devices_minutes_stay_closed() -> None:
    windows = PartitionWindows(POWER)
    hour = FORGET_US // SECOND_US
    outcome_of(windows, 30, 30, "old")
    for second in range(30, 2 * hour, 14):
        outcome_of(windows, second, second, "other")
    assert set(windows.state.devices) == {"other"}
    assert ("old", START) in {(name, window.start) for name, window in windows.to_emit}
    assert outcome_of(windows, 31, 2 * hour, "old") == LATE
    assert outcome_of(windows, 2 * hour - 100, 2 * hour, "old") == ACCEPTED
    # A minute that nobody can have closed is open to whoever is new, however old it is by then.
    fresh = PartitionWindows(POWER)
    outcome_of(fresh, 3 * hour, 3 * hour, "a")
    assert outcome_of(fresh, 0, 3 * hour, "recorded long ago") == ACCEPTED


@pytest.mark.parametrize("ahead", [2_000, 40_000_000])
def test_one_wrong_producers_clock_makes_nobody_late(ahead: int) -> None:
    windows = PartitionWindows(POWER)
    for second in range(600):
        for device in ("a", "b", "c"):
            assert outcome_of(windows, second, second, device, stamped=False) == ACCEPTED
        if 100 < second < 200:
            outcome_of(windows, second + ahead, second + ahead, "wrong", stamped=False)
    # And silence is still judged: what fell silent is final.
    for second in range(600, 700):
        outcome_of(windows, second, second, "a", stamped=False)
        outcome_of(windows, second, second, "b", stamped=False)
    windows.close_silent()
    assert ("c", START + 540 * SECOND_US) in {(n, w.start) for n, w in windows.to_emit}
