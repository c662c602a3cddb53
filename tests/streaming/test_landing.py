"""Landed rows: exact, self-describing, never overwritten."""

from pathlib import Path

import duckdb
import pytest
from support.stream.declared import POWER

from lakehouse.raw import CommitInfo, RawTable
from lakehouse.raw.verify import verify
from streaming.events import Event
from streaming.landing import SOURCE, Landing
from streaming.records import RecordBatch, RejectedRecord
from streaming.window_state import Device, PartitionState
from streaming.windows import ACCEPTED, PartitionWindows

AT = 1_772_366_400_000_000


def batch() -> RecordBatch:
    records = RecordBatch()
    event = Event("meter-1", AT, (1_150_500_000, -1, 5_000_000), ("Oslo",), False)
    records.add(10, AT, ACCEPTED, event, Device("meter-1", AT, AT), None)
    reasons = ("missing_key", "not_json")
    records.reject(RejectedRecord(11, AT, reasons, None, b"\xff\x00"))
    records.add(12, AT + 1, "late", event, Device("meter-1", AT + 5, AT + 7), b"{}")
    return records


def land(landing: Landing, partition: int) -> CommitInfo:
    return landing.land_events("log-1", partition, batch(), after_offset=-1, state=PartitionState())


def test_events_land_exactly_with_their_origin(tmp_path: Path) -> None:
    info = land(Landing(tmp_path, POWER), 3)
    assert (info.rows, info.kind) == (3, "stream")
    assert info.details["first_offset"] == 10
    assert info.details["last_offset"] == 12
    path = RawTable(tmp_path, SOURCE, "power_events").path_of(info.batch_id)
    with duckdb.connect() as db:
        rows = db.execute(
            f"""select topic_partition, record_offset, outcome, reasons, device,
                epoch_us(event_at), epoch_us(watermark_at), epoch_us(heard_at), record_key,
                city, watt::text, volt::text, payload
                from '{path}' order by record_offset"""
        ).fetchall()
    said = ("Oslo", "1150.500000", "-0.000001")
    assert rows == [
        (3, 10, "accepted", None, "meter-1", AT, None, None, b"meter-1", *said, None),
        (3, 11, "rejected", "missing_key,not_json", *[None] * 8, b"\xff\x00"),
        (3, 12, "late", None, "meter-1", AT, AT + 5, AT + 7, b"meter-1", *said, b"{}"),
    ]
    assert [found.problem for found in verify(tmp_path)] == [None]


def test_windows_land_with_their_version(tmp_path: Path) -> None:
    windows = PartitionWindows(POWER)
    for offset, watt in ((5, -3), (6, 7)):
        event = Event("m", AT + offset, (watt * 1_000_000, 0, 1), ("Oslo",), False)
        windows.process(event, AT, offset)
    changed = [(name, window) for (name, _), window in windows.changed.items()]
    info = Landing(tmp_path, POWER).land_windows("log-1", 0, changed, 6)
    path = RawTable(tmp_path, SOURCE, "power_windows").path_of(info.batch_id)
    with duckdb.connect() as db:
        rows = db.execute(
            f"""select version, through_offset, event_count, is_final, watt_sum::text,
                watt_min::text, watt_max::text, ampere_sum::text from '{path}'"""
        ).fetchall()
    assert rows == [
        (6, 6, 2, False, "4.000000", "-3.000000", "7.000000", "0.000002"),
    ]


def test_a_replay_lands_beside_what_is_there(tmp_path: Path) -> None:
    landing = Landing(tmp_path, POWER)
    first = land(landing, 0)
    second = land(landing, 0)
    assert first.batch_id < second.batch_id
    assert len(RawTable(tmp_path, SOURCE, "power_events").commits()) == 2


def test_a_full_disk_lands_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakehouse.errors import LakeError

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lakehouse.raw.writer.fsync_file", full)
    with pytest.raises(LakeError, match="disk is full"):
        land(Landing(tmp_path, POWER), 0)
    assert list(tmp_path.rglob("*.parquet")) == []
    assert list(tmp_path.rglob("*.tmp")) == []
