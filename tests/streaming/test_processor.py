"""Taking a partition over: from where it is read, and under which identity it lands."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.stream.declared import POWER

from streaming import processor as module
from streaming.landing import Landing
from streaming.outputs import DeadLetter
from streaming.processor import StreamProcessor, TopicChangedError
from streaming.windows import REJECTED


class Source:
    """A topic without a broker: what is produced goes nowhere."""

    def hand_records_to(self, _: Callable[[int, Sequence[Any]], None]) -> None:
        pass

    def produce(self, topic: str, *, key: bytes | None, value: bytes | None) -> None:
        pass

    def produce_dead_letter(self, topic: str, letter: DeadLetter) -> None:
        pass


class Message:
    """A record that is no event, as confluent_kafka gives it."""

    def __init__(self, offset: int, size: int = 10, value: bytes | None = None) -> None:
        self._offset, self._value = offset, value or b"x" * size

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes:
        return b"k"

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_772_366_400_000 + self._offset


def processor(raw_dir: Path) -> StreamProcessor:
    return StreamProcessor(POWER, Source(), Landing(raw_dir, POWER), lambda *_: None)  # type: ignore[arg-type]


def landed(raw_dir: Path, records: int, topic_id: str = "log") -> StreamProcessor:
    one = processor(raw_dir)
    assert one.assign(0, topic_id, lambda: (0, records)) == 0
    one.on_records(0, [Message(offset) for offset in range(records)])
    one.land()
    return one


def test_reading_goes_on_after_what_has_landed(tmp_path: Path) -> None:
    landed(tmp_path, 50)
    assert processor(tmp_path).assign(0, "log", lambda: (0, 80)) == 50
    assert processor(tmp_path).assign(1, "log", lambda: (3, 80)) == 3
    assert processor(tmp_path).assign(0, "log", lambda: (60, 80)) == 60
    assert processor(tmp_path).assign(0, "made again", lambda: (0, 80)) == 0


def test_a_log_that_ends_before_what_has_landed_is_another_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ASK_AGAIN_SECONDS", 0.0)
    landed(tmp_path, 50)
    caplog.set_level(logging.WARNING)
    # A broker that has just started says less than it has.
    answers = [(0, 20), (0, 50)]
    one = processor(tmp_path)
    assert one.assign(0, "log", lambda: answers.pop(0)) == 50
    assert not caplog.records
    one = processor(tmp_path)
    assert one.assign(0, "log", lambda: (0, 30)) == 0
    assert "the broker has lost records" in caplog.text
    one.on_records(0, [Message(offset) for offset in range(30)])
    one.land()
    assert processor(tmp_path).assign(0, "log", lambda: (0, 40)) == 30
    ids = {
        details["log_id"]
        for _, details in module.Footers(Landing(tmp_path, POWER).events).newest_first()
    }
    assert ids == {"log", "log~2"}


def test_offsets_that_go_back_are_another_topic(tmp_path: Path) -> None:
    one = landed(tmp_path, 10)
    with pytest.raises(TopicChangedError, match="gives offset 4 after 9"):
        one.on_records(0, [Message(4)])


def test_what_was_dropped_is_read_again_and_what_landed_is_passed_over(tmp_path: Path) -> None:
    one = landed(tmp_path, 10)
    one.on_records(0, [Message(offset) for offset in range(10, 20)])
    one.forget()
    assert not one.pending
    one.on_records(0, [Message(offset) for offset in range(5, 25)])
    one.land()
    assert one.outcomes[REJECTED] == 35
    assert processor(tmp_path).assign(0, "log", lambda: (0, 25)) == 25
    with pytest.raises(TopicChangedError):
        one.on_records(0, [Message(4)])


def test_a_partition_that_comes_back_is_as_it_was_given_away(tmp_path: Path) -> None:
    one, other = landed(tmp_path, 10), processor(tmp_path)
    one.revoke([0])
    one.on_records(0, [Message(10)])
    assert not one.pending, "it is another's"
    assert other.assign(0, "log", lambda: (0, 12)) == 10
    other.on_records(0, [Message(10, value=valid(10, "new"))])
    other.land()
    assert one.assign(0, "log", lambda: (0, 12)) == 11
    assert one.devices == 1, "what another has landed meanwhile is known"


def valid(offset: int, note: str) -> bytes:
    at = f"2026-03-01T12:00:{offset % 60:02d}Z"
    fields: dict[str, object] = {"device_name": "k", "city": "Oslo", "date_time": at, "note": note}
    return orjson.dumps(fields | {measure.name: measure.low for measure in POWER.measures})


@pytest.mark.parametrize("is_valid", [False, True])
@pytest.mark.parametrize("size", [10, 60_000])
def test_what_is_held_is_counted_in_bytes(tmp_path: Path, size: int, is_valid: bool) -> None:
    one = processor(tmp_path)
    one.assign(0, "log", lambda: (0, 100))
    values = [valid(n, "x" * size) if is_valid else b"x" * size for n in range(50)]
    one.on_records(0, [Message(n, value=value) for n, value in enumerate(values)])
    assert one.outcomes[REJECTED] == (0 if is_valid else 50)
    assert 50 * size < one.held_bytes < 50 * (size + 500)


def test_each_commit_names_the_one_that_it_stands_on(tmp_path: Path) -> None:
    one = landed(tmp_path, 10)
    for first, last in ((10, 14), (17, 20)):
        one.on_records(0, [Message(offset) for offset in range(first, last)])
        one.land()
    other = processor(tmp_path)
    assert other.assign(0, "log", lambda: (0, 30)) == 20
    other.on_records(0, [Message(20)])
    other.land()
    footers = module.Footers(Landing(tmp_path, POWER).events)
    ranges = [(d["after_offset"], d["last_offset"]) for _, d in footers.newest_first()]
    assert ranges == [(19, 20), (13, 19), (9, 13), (-1, 9)]


def test_of_a_topic_that_changed_only_what_is_known_to_be_of_it_lands(tmp_path: Path) -> None:
    one = landed(tmp_path, 10)
    one.on_records(0, [Message(offset) for offset in range(10, 15)])
    one.mark()
    one.on_records(0, [Message(offset) for offset in range(15, 18)])
    one.confirm()
    one.mark()
    assert one.land_confirmed() == 3
    assert processor(tmp_path).assign(0, "log", lambda: (0, 50)) == 15
