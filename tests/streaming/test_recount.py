"""A contradiction is repaired: what landed is decided again, once, and in its order."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.stream.declared import POWER

from lakehouse.errors import LakeError
from lakehouse.raw.compact import compact
from lakehouse.raw.verify import set_aside, verify
from lakehouse.settings import Settings
from streaming.config import SECOND_US, StreamConfig
from streaming.events import Event, parse_time
from streaming.instances import no_instance, running_instance
from streaming.landing import Landing
from streaming.memory import Footers, position_of
from streaming.records import RecordBatch, RejectedRecord
from streaming.recount import Recounted, recount, refuse_unfinished, unfinished
from streaming.windows import PartitionWindows

START = parse_time("2026-03-01T12:00:00Z")


class Counter:
    done = 0

    def advance(self, count: int) -> None:
        self.done += count


def land(landing: Landing, offsets: range, windows: PartitionWindows, log_id: str = "log") -> None:
    """Events of two devices, each twice, every tenth record rejected."""
    batch = RecordBatch()
    for offset in offsets:
        broker_us = START + offset * SECOND_US
        if offset % 10 == 9:
            windows.observe(broker_us)
            batch.reject(RejectedRecord(offset, broker_us, ("not_json",), b"k", b"x"))
            continue
        at_us = START + offset // 2 * 2 * SECOND_US - offset % 7 * 20 * SECOND_US
        event = Event(f"d{offset % 3}", at_us, (offset, -offset, 1), ("Oslo",), offset % 4 == 0)
        outcome = windows.process(event, broker_us, offset)
        payload = b"{}" if offset % 4 == 0 else None
        batch.add(offset, broker_us, outcome, event, windows.device, payload)
    windows.close_silent()
    changed = [(name, window) for (name, _), window in windows.changed.items()]
    landing.land_windows(log_id, 0, changed, offsets[-1])
    windows.changed, windows.to_emit = {}, []
    after = offsets[0] - 1
    landing.land_events(log_id, 0, batch, after_offset=after, state=windows.state)


def rows(raw_dir: Path, config: StreamConfig, table: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        if table == config.events_table:
            query = "select * exclude (_batch_id, _extracted_at)"
        else:
            query = """select * exclude (_batch_id, _extracted_at, through_offset)"""
        newest = "qualify row_number() over (partition by log_id, device, window_start order by"
        newest += " version desc, is_final desc) = 1" if table == config.windows_table else ""
        return db.execute(
            f"{query} from '{raw_dir}/stream/{table}/*/*.parquet'"
            + (f" {newest}" if table == config.windows_table else "")
            + " order by all"
        ).fetchall()


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_recount_says_what_one_reading_in_order_would_have_said(
    tmp_path: Path, is_compacted: bool
) -> None:
    truth, spoilt = Settings(root=tmp_path / "truth"), Settings(root=tmp_path / "spoilt")
    windows = PartitionWindows(POWER)
    for first in range(0, 600, 100):
        land(Landing(truth.raw_dir, POWER), range(first, first + 100), windows)
    landing = Landing(spoilt.raw_dir, POWER)
    for first in (0, 100, 250, 400, 500):
        # Memory lost each time, and some records decided twice.
        land(landing, range(first, min(first + 200, 600)), PartitionWindows(POWER))
    for log_id in ("other", "another"):
        for settings in (truth, spoilt):
            other = Landing(settings.raw_dir, POWER)
            land(other, range(50), PartitionWindows(POWER), log_id)
    for table in (POWER.events_table, POWER.windows_table):
        assert rows(spoilt.raw_dir, POWER, table) != rows(truth.raw_dir, POWER, table)
    if is_compacted:
        for table in (landing.events, landing.windows):
            compact(table, now=datetime.now(UTC) + timedelta(days=1))
    counter = Counter()
    done = recount(spoilt, POWER, counter)
    assert (done.records, done.repeated) == (700, 300)
    assert done.changed > 10
    assert counter.done == 1000
    for table in (POWER.events_table, POWER.windows_table):
        assert rows(spoilt.raw_dir, POWER, table) == rows(truth.raw_dir, POWER, table)
    assert all(found.problem is None for found in verify(spoilt.raw_dir))
    assert len(list(spoilt.raw_dir.rglob("*.set-aside"))) == done.set_aside == 14 + 2 * is_compacted
    assert position_of(Footers(landing.events), "log", 0).last_offset == 599
    again = recount(spoilt, POWER, Counter())
    assert (again.records, again.repeated, again.changed) == (700, 0, 0)


def test_an_interrupted_recount_is_said_and_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(root=tmp_path)
    windows = PartitionWindows(POWER)
    for first in range(0, 300, 100):
        land(Landing(settings.raw_dir, POWER), range(first, first + 100), windows)
    before = rows(settings.raw_dir, POWER, POWER.events_table)
    monkeypatch.setattr("streaming.recount._BATCH_ROWS", 80)
    asides: list[str] = []

    def dies(raw_dir: Path, name: str) -> Path:
        asides.append(name)
        if len(asides) == 2:
            raise KeyboardInterrupt
        return set_aside(raw_dir, name)

    with monkeypatch.context() as patched:
        patched.setattr("streaming.recount.set_aside", dies)
        with pytest.raises(KeyboardInterrupt):
            recount(settings, POWER, Counter())
    assert unfinished(settings, POWER).exists()
    with pytest.raises(LakeError, match="recount power` again"):
        refuse_unfinished(settings, [POWER])
    recount(settings, POWER, Counter())
    refuse_unfinished(settings, [POWER])
    assert rows(settings.raw_dir, POWER, POWER.events_table) == before


def test_a_stream_that_has_landed_nothing_has_nothing_to_recount(tmp_path: Path) -> None:
    assert recount(Settings(root=tmp_path), POWER, Counter()) == Recounted(0, 0, 0, 0)


def test_no_instance_runs_while_it_recounts(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    with (
        running_instance(settings),
        pytest.raises(LakeError, match="is running"),
        no_instance(settings),
    ):
        pass
    with no_instance(settings), pytest.raises(LakeError), running_instance(settings):
        pass
