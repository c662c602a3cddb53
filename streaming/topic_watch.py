"""Watching the topics while they are read: are they still the same, where do they begin and end?

Here belongs asking the broker beside the consumer, whose own questions would wait behind its
fetches. Answers are picked up when they are there; only ``identities`` waits. What follows from
them is the caller's.
"""

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from streaming.brokers import Broker, BrokerError
from streaming.clients import make_client

Place = tuple[str, int]
"""Topic and partition."""

_EVERY_SECONDS = 2.0
_TIMEOUT = 10.0
_FIRST, _LAST = OffsetSpec.earliest(), OffsetSpec.latest()


@dataclass(frozen=True, slots=True)
class End:
    """Where a partition ended when the broker was asked.

    Attributes:
        offset: The offset after its last record, those of open transactions included.
        asked_us: When it was asked by our clock, microseconds since 1970 UTC.
    """

    offset: int
    asked_us: int


@dataclass(slots=True)
class _Question:
    asked: float
    asked_us: int
    answers: dict[Any, "Future[Any]"]


@dataclass(slots=True)
class TopicWatch:
    """What the broker says of some topics.

    Args:
        broker: The broker.
        topics: Their names.

    Attributes:
        ends: The newest known end of each partition asked for.
        begins: The oldest offset that the broker then still had.
        ends_asked: When the newest known ends and begins were asked for; monotonic seconds.
        asked: When identities were last asked for without waiting; monotonic seconds.
        confirmed: The newest of these moments whose answer was ``known``.
        changed: Topics whose identity is not the known one any more: their new one, or None while
            there is no topic of the name.
        known: What their identities should be; the caller sets it.
    """

    broker: Broker
    topics: list[str]
    known: dict[str, str] = field(default_factory=dict)
    ends: dict[Place, End] = field(default_factory=dict)
    begins: dict[Place, int] = field(default_factory=dict)
    changed: dict[str, str | None] = field(default_factory=dict)
    confirmed: float = 0.0
    asked: float = 0.0
    ends_asked: float = 0.0
    _admin: Any = None
    _offsets: _Question | None = None
    _names: _Question | None = None
    _next: float = 0.0

    def identities(self) -> dict[str, str | None]:
        """Identity of each topic now, waited for; None of one that does not exist.

        Raises:
            BrokerError: The broker does not answer.
        """
        if self.broker.embedded_id is not None:
            return dict.fromkeys(self.topics, self.broker.embedded_id)
        return _identities(self.broker, self._describe().answers)

    def look(self, now: float, places: Iterable[Place]) -> None:
        """Ask anew if it is time, and pick up what has been answered; never waits.

        Args:
            now: Monotonic seconds.
            places: The partitions whose ends matter.
        """
        self._pick_up()
        if now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        if self._offsets is None and (asked := {TopicPartition(*place) for place in places}):
            answers = {
                (spec, place): answer
                for spec in (_FIRST, _LAST)
                for place, answer in self._client()
                .list_offsets(
                    dict.fromkeys(asked, spec),
                    isolation_level=IsolationLevel.READ_UNCOMMITTED,
                    request_timeout=_TIMEOUT,
                )
                .items()
            }
            self._offsets = _Question(now, time.time_ns() // 1000, answers)
        if self._names is None and not self.broker.is_embedded:
            self._names = self._describe()
            self.asked = self._names.asked

    def _pick_up(self) -> None:
        if self._offsets is not None and _answered(self._offsets):
            for (spec, place), answer in self._offsets.answers.items():
                # A partition that has no leader at the moment is asked again.
                if answer.exception() is None:
                    name, offset = (place.topic, place.partition), answer.result().offset
                    if spec is _LAST:
                        self.ends[name] = End(offset, self._offsets.asked_us)
                    else:
                        self.begins[name] = offset
            self.ends_asked = self._offsets.asked
            self._offsets = None
        if self._names is not None and _answered(self._names):
            question, self._names = self._names, None
            try:
                found = _identities(self.broker, question.answers)
            except BrokerError:
                return
            self.changed = {
                name: found[name] for name, known in self.known.items() if found[name] != known
            }
            if not self.changed:
                self.confirmed = question.asked

    def _describe(self) -> _Question:
        names = TopicCollection(self.topics)
        answers = self._client().describe_topics(names, request_timeout=_TIMEOUT)
        return _Question(time.monotonic(), time.time_ns() // 1000, answers)

    def _client(self) -> Any:
        if self._admin is None:
            self._admin = make_client(AdminClient, self.broker)
        return self._admin


def _answered(question: _Question) -> bool:
    return all(answer.done() for answer in question.answers.values())


def _identities(broker: Broker, answers: dict[str, "Future[Any]"]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, answer in answers.items():
        try:
            found[name] = str(answer.result(_TIMEOUT + 5).topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(
                    f"the broker at {broker.bootstrap} does not say what {name} is: "
                    f"{error.args[0].str()}",
                    "look at the broker; nothing is lost",
                ) from error
            found[name] = None
        except TimeoutError as error:
            raise BrokerError(
                f"the broker at {broker.bootstrap} does not answer", "look at the broker"
            ) from error
    return found
