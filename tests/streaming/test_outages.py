"""Which failures are tried again, and until when."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from streaming import outages
from streaming.brokers import BrokerError
from streaming.outages import through_outages


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_PAUSE_SECONDS", 0.01)


def test_an_outage_is_waited_for() -> None:
    failures = [BrokerError("away", "wait"), KafkaException(KafkaError(KafkaError._TIMED_OUT))]

    def attempt() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert through_outages(attempt) == "done"


def test_patience_ends_with_a_sentence() -> None:
    def attempt() -> None:
        raise BrokerError("away", "wait")

    with pytest.raises(BrokerError, match="goes on from its last commit"):
        through_outages(attempt, patience=0.05)


def test_room_on_the_disk_is_waited_for_without_end() -> None:
    failures = [
        Exception("IO error: No space left on device: While appending to file: 000004.log"),
        OSError(28, "No space left on device"),
    ] * 3

    def attempt() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert through_outages(attempt, patience=0) == "done"


def test_other_failures_are_raised_at_once() -> None:
    def attempt() -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault"):
        through_outages(attempt)
