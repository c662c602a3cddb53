"""What passes by itself is waited for and called by its name, the rest raised; a stop is heard."""

import os
import signal
import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from lakehouse.errors import LakeError
from streaming import outages
from streaming.brokers import BrokerError
from streaming.outages import through_outages
from streaming.processor import TopicChangedError
from streaming.quix.runtime import PartitionAssignmentError
from streaming.stopping import StopRequest, stopped_by_signals


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_PAUSE_SECONDS", 0.01)


def after(*failures: Exception) -> str:
    left = list(failures)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return through_outages(attempt)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (BrokerError("no broker answers", "wait"), "no broker answers"),
        (KafkaException(KafkaError(KafkaError._TIMED_OUT)), "the broker is away"),
        (KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION)), "the group went on without us"),
        (KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)), "the broker refuses"),
        (TopicChangedError("t was made again", "read it"), "t was made again"),
    ],
)
def test_a_failure_is_called_by_its_name(
    failure: Exception, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrapped = PartitionAssignmentError("Error during partition assignment")
    wrapped.__cause__ = failure
    assert after(failure, wrapped) == "done"
    assert [words in record.message for record in caplog.records] == [True, True]


def test_patience_ends_with_a_sentence() -> None:
    def attempt() -> None:
        raise BrokerError("away", "wait")

    with pytest.raises(BrokerError, match="goes on from what has landed"):
        through_outages(attempt, patience=0.05)


def test_what_fails_for_the_same_lasting_reason_is_not_tried_for_ever() -> None:
    tries = []

    def attempt() -> None:
        tries.append(1)
        raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))

    with pytest.raises(BrokerError, match="the broker refuses"):
        through_outages(attempt)
    assert len(tries) == outages._TRIES + 1


def test_room_on_the_disk_is_waited_for_without_end() -> None:
    failures = [OSError(28, "No space left on device")] * 6

    def attempt() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert through_outages(attempt, patience=0) == "done"


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), LakeError("a fault", "mend it")])
def test_other_failures_are_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error), match="a fault"):
        after(error)


def test_a_stop_is_heard_between_two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_PAUSE_SECONDS", 60)

    def attempt() -> None:
        raise BrokerError("no broker answers", "wait")

    with stopped_by_signals() as stop:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(LakeError, match=r"stopped while .* no broker answers"):
            through_outages(attempt, stop=stop)
    assert time.monotonic() - began < 30


def test_a_stop_that_a_failing_run_has_heard_is_not_forgotten() -> None:
    stop, tries = StopRequest(), []

    def attempt() -> None:
        tries.append(1)
        with stop.then(lambda: None):
            stop.ask()
        raise BrokerError("the last checkpoint was not possible", "wait")

    with pytest.raises(LakeError, match="the last checkpoint"):
        through_outages(attempt, stop=stop)
    assert tries == [1]
