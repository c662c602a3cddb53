"""Looking into a topic without touching anything: no group, no offset is moved.

Here belongs fetching the newest records. Showing them is in ``cli``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Consumer, TopicPartition

from lakehouse.errors import LakeError
from streaming.brokers import Broker
from streaming.clients import asking

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class PeekedRecord:
    """One record of a topic.

    Attributes:
        at: Its broker timestamp (UTC).
        headers: Its headers, as text.
    """

    partition: int
    offset: int
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


def peek(broker: Broker, topic: str, limit: int) -> list[PeekedRecord]:
    """The newest records of a topic, newest first.

    Args:
        broker: Where it is.
        topic: Its name.
        limit: At most so many.

    Raises:
        LakeError: There is no such topic.
        BrokerError: The broker does not answer.
    """
    with asking(
        Consumer, broker, group_id="lake-peek", enable_auto_commit=False, enable_partition_eof=True
    ) as consumer:
        topics = consumer.list_topics(timeout=_TIMEOUT).topics
        if topic not in topics:
            names = sorted(name for name in topics if not name.startswith("__"))
            raise LakeError(
                f"the broker has no topic {topic!r}",
                f"name one of {', '.join(names) or 'none yet'}",
            )
        left = set(topics[topic].partitions)
        places = []
        for number in left:
            place = TopicPartition(topic, number)
            low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
            places.append(TopicPartition(topic, number, max(low, high - limit)))
        consumer.assign(places)
        found = []
        while left:
            messages = consumer.consume(1000, _TIMEOUT)
            if not messages:
                break
            for message in messages:
                if message.error() is not None:
                    # Its end; markers of transactions may stand where a record was looked for.
                    left.discard(message.partition())
                    continue
                found.append(
                    PeekedRecord(
                        message.partition(),
                        message.offset(),
                        datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
                        message.key(),
                        message.value(),
                        {
                            name: (value or b"").decode("utf-8", "backslashreplace")
                            for name, value in message.headers() or ()
                        },
                    )
                )
    return sorted(found, key=lambda record: (record.at, record.offset), reverse=True)[:limit]
