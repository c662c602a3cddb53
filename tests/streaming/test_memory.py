"""What is read back from landed files is what was in memory, wherever the log is cut."""

import random
from copy import deepcopy
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stream.declared import POWER

from lakehouse.raw.compact import compact
from streaming.config import MINUTE_US, SECOND_US
from streaming.events import Event, parse_time
from streaming.landing import Landing
from streaming.memory import Footers, next_life, position_of, restore
from streaming.records import RecordBatch, RejectedRecord
from streaming.window_state import PartitionState
from streaming.windows import FORGET_US, PartitionWindows

START = parse_time("2026-03-01T12:00:00Z")


class Partition:
    """A partition that lands and can be read back."""

    def __init__(self, raw_dir: Path, log_id: str = "log", number: int = 0) -> None:
        self.landing = Landing(raw_dir, POWER)
        self.log_id, self.number = log_id, number
        self.windows = PartitionWindows(POWER)
        self.batch = RecordBatch()
        self.offset = 0
        self.landed = -1

    def send(self, device: str | None, at_us: int, broker_us: int, *, stamped: bool = True) -> None:
        if device is None:
            self.windows.observe(broker_us, stamped=stamped)
            self.batch.reject(RejectedRecord(self.offset, broker_us, ("bad",), None, b"x"))
        else:
            event = Event(device, at_us, (at_us % 1000, -1, 2), ("Oslo",), False)
            outcome = self.windows.process(event, broker_us, self.offset, stamped=stamped)
            device_now = self.windows.device
            self.batch.add(self.offset, broker_us, outcome, event, device_now, None)
        self.offset += 1

    def land(self) -> None:
        self.windows.close_silent()
        changed = [(name, window) for (name, _), window in self.windows.changed.items()]
        if changed:
            self.landing.land_windows(self.log_id, self.number, changed, self.offset - 1)
        self.windows.changed, self.windows.to_emit = {}, []
        if self.batch.size:
            self.landing.land_events(
                self.log_id,
                self.number,
                self.batch,
                after_offset=self.landed,
                state=self.windows.state,
            )
            self.landed = self.batch.last_offset
            self.batch = RecordBatch()

    def read_back(self) -> PartitionState:
        records, windows = Footers(self.landing.events), Footers(self.landing.windows)
        position = position_of(records, self.log_id, self.number)
        assert position.last_offset == self.landed
        return restore(POWER, records, windows, self.number, position)


def as_plain(state: PartitionState) -> dict[str, Any]:
    devices = {}
    for name, device in state.devices.items():
        windows = {
            window.start: {slot: getattr(window, slot) for slot in window.__slots__}
            | {"seen": set(window.seen)}
            for window in device.windows
        }
        devices[name] = (device.watermark, device.heard, device.earliest, windows)
    return {"clock": asdict(state.clock), "devices": devices}


STEPS = st.sampled_from([0, 0.4, 1, 1, 3, 16, 40, 90, 700, 4000])


@pytest.mark.parametrize("stamped", [True, False])
@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_what_is_read_back_is_what_was_in_memory(
    stamped: bool, data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    partition = Partition(tmp_path_factory.mktemp("raw"))
    chance = random.Random(seed)
    broker_us = START
    for step in data.draw(st.lists(STEPS, min_size=1, max_size=60)):
        broker_us += int(step * SECOND_US)
        device = chance.choice(["a", "b", "c", "d", None])
        delay = chance.choice([0, 0, 1, 30, 80, 200, 4000, -200]) * SECOND_US
        # Of one microsecond, so that some come twice.
        at_us = (broker_us - delay) // SECOND_US * SECOND_US
        partition.send(device, at_us, broker_us - chance.choice([0, 0, 2_000_000]), stamped=stamped)
        if chance.random() < 0.3:
            if chance.random() < 0.3:
                partition.windows.close_silent()
                partition.windows.emit_silent(broker_us + chance.choice([0, 60, 300]) * SECOND_US)
            partition.land()
            assert as_plain(partition.read_back()) == as_plain(partition.windows.state)
            if chance.random() < 0.5:
                partition.windows = PartitionWindows(POWER, partition.read_back())


def test_read_back_opens_recent_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(tmp_path)
    for number in range(80):
        partition.send("a", START + number * 5 * MINUTE_US, START + number * 5 * MINUTE_US)
        partition.land()
    opened: list[Path] = []
    original = partition.landing.events.read

    def counted(path: Path) -> Any:
        opened.append(path)
        return original(path)

    footers = Footers(partition.landing.events)
    monkeypatch.setattr(type(partition.landing.events), "read", lambda _, path: counted(path))
    position = position_of(footers, "log", 0)
    assert position.last_offset == 79
    assert len(opened) <= FORGET_US // MINUTE_US // 5 + 5


def test_whatever_was_landed_again_or_by_others_is_told_apart(tmp_path: Path) -> None:
    """Another topic of the name, another partition, an instance that was given up, and a loss."""
    mine = Partition(tmp_path)
    others = [Partition(tmp_path, "other"), Partition(tmp_path, number=1)]
    for second in range(30):
        mine.send("a", START + second * SECOND_US, START + second * SECOND_US)
    mine.land()
    given_up = deepcopy(mine)
    for second in range(30, 90):
        mine.send("a", START + second * SECOND_US, START + second * SECOND_US)
        if second % 10 == 9:
            mine.land()
    for other in others:
        for second in range(200):
            other.send("a", START + second * MINUTE_US, START + second * MINUTE_US)
        other.land()
    # It wakes up late, and lands what it held.
    for second in range(30, 50):
        given_up.send("a", START + second * SECOND_US, START + second * SECOND_US)
    given_up.land()
    assert as_plain(mine.read_back()) == as_plain(mine.windows.state)
    again = Partition(tmp_path, next_life("log"))
    again.send("a", START, START)
    again.land()
    position = position_of(Footers(mine.landing.events), "log", 0)
    assert (position.log_id, position.last_offset) == ("log~2", 0)
    assert position_of(Footers(mine.landing.events), "new", 0).last_offset == -1


def test_a_commit_that_is_gone_leaves_what_there_is(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    for second in range(6):
        partition.send("a", START + second * SECOND_US, START + second * SECOND_US)
        partition.land()
    commits = partition.landing.events.commits()
    commits[2].rename(commits[2].with_suffix(".set-aside"))
    state = partition.read_back()
    assert [window.count for window in state.devices["a"].windows] == [3]
    commits[5].unlink()
    position = position_of(Footers(partition.landing.events), "log", 0)
    assert position.last_offset == 4, "what only the newest held is read again"


def test_a_device_is_forgotten_when_it_would_have_been_in_memory(tmp_path: Path) -> None:
    """At the first multiple of ten minutes that is an hour after it spoke, not before."""
    partition = Partition(tmp_path)
    known = []
    partition.send("a", START + 3 * MINUTE_US, START + 3 * MINUTE_US)
    for minute in range(58, 76, 2):
        partition.send("b", START + minute * MINUTE_US, START + minute * MINUTE_US)
        partition.land()
        assert as_plain(partition.read_back()) == as_plain(partition.windows.state)
        known.append((minute, "a" in partition.windows.state.devices))
    assert [minute for minute, is_known in known if is_known] == [58, 60, 62, 64, 66, 68]


def test_a_window_is_read_back_however_long_it_has_been_open(tmp_path: Path) -> None:
    """A device whose clock has stopped keeps its minute open as long as it speaks."""
    partition = Partition(tmp_path)
    for number in range(600):
        partition.send("stopped", START + number, START + number * 14 * SECOND_US)
        if number % 50 == 49:
            partition.land()
    (window,) = partition.windows.state.devices["stopped"].windows
    assert window.count == 600
    assert as_plain(partition.read_back()) == as_plain(partition.windows.state)


def test_a_producer_whose_clock_is_ahead_is_remembered_as_long_as_in_memory(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    for minute in (4, 70):
        at_us = START + minute * MINUTE_US
        for device in ("b", "c", "d"):
            partition.send(device, at_us, at_us, stamped=False)
        if minute == 4:
            ahead = at_us + 9 * MINUTE_US
            partition.send("ahead", ahead, ahead, stamped=False)
        partition.land()
        partition.batch.stamped = False
    assert "ahead" in partition.windows.state.devices
    assert as_plain(partition.read_back()) == as_plain(partition.windows.state)


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(hours=1)])
def test_what_was_compacted_is_read_back_as_it_landed(tmp_path: Path, grace: timedelta) -> None:
    partitions = [Partition(tmp_path, number=number) for number in range(3)]
    for second in range(0, 7200, 7):
        for partition in partitions:
            at = START + second * SECOND_US
            partition.send(f"d{second % 11}", at - second % 5 * 10 * SECOND_US, at)
            if second % (7 * (40 + partition.number)) == 0:
                partition.windows.emit_silent(at + 60 * SECOND_US)
                partition.land()
    for partition in partitions:
        partition.land()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for table in (partitions[0].landing.events, partitions[0].landing.windows):
        assert compact(table, now=tomorrow, grace=grace).replaced > 3
        if not grace:
            compact(table, now=tomorrow + timedelta(days=2), grace=grace)
    for partition in partitions:
        assert as_plain(partition.read_back()) == as_plain(partition.windows.state)
        partition.send("d1", START + 7201 * SECOND_US, START + 7201 * SECOND_US)
        partition.land()
        assert as_plain(partition.read_back()) == as_plain(partition.windows.state)
