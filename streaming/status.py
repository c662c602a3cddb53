"""How far the stream has come: what has landed against what the topics hold.

Here belongs collecting the figures. Showing them is in ``cli``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka import Consumer, TopicPartition

from lakehouse.raw import RawTable
from lakehouse.raw.names import batch_time
from lakehouse.settings import Settings
from streaming.brokers import Broker
from streaming.clients import asking
from streaming.config import StreamConfig
from streaming.landing import SOURCE
from streaming.memory import Footers, position_of
from streaming.topic_watch import TopicWatch

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of a topic.

    Attributes:
        first: The oldest offset that the broker still has.
        landed: The next offset to read, after what has landed; None if nothing of it has.
        committed: What the consumer group has told Kafka; None if it has told nothing.
        end: The offset after the last record.
        lag: Records that wait; at most, since a transaction's marker takes an offset as well.
        gone: Records that the broker removed before they were read.
    """

    topic: str
    partition: int
    first: int
    landed: int | None
    committed: int | None
    end: int
    lag: int
    gone: int


@dataclass(frozen=True, slots=True)
class LandedStatus:
    """One raw table: its commits and when the newest was made (UTC); None without any."""

    table: str
    commits: int
    newest: datetime | None


def partition_status(
    broker: Broker, streams: Sequence[StreamConfig], group: str, settings: Settings
) -> list[PartitionStatus]:
    """The partitions of the streams' topics; those of a topic that does not exist are none.

    Raises:
        BrokerError: The broker does not answer.
    """
    identities = TopicWatch(broker, [stream.topic for stream in streams]).identities()
    with asking(Consumer, broker, group_id=group) as consumer:
        return [
            status
            for stream in streams
            if (topic_id := identities[stream.topic]) is not None
            for status in _topic_status(consumer, stream, topic_id, settings)
        ]


def _topic_status(
    consumer: Consumer, stream: StreamConfig, topic_id: str, settings: Settings
) -> list[PartitionStatus]:
    topic = stream.topic
    footers = Footers(RawTable(settings.raw_dir, SOURCE, stream.events_table))
    numbers = sorted(consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic].partitions)
    places = [TopicPartition(topic, number) for number in numbers]
    found = []
    for place in consumer.committed(places, timeout=_TIMEOUT) if places else []:
        first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
        last = position_of(footers, topic_id, place.partition).last_offset
        committed = place.offset if place.offset >= 0 else None
        landed = last + 1 if last >= 0 else None
        after = last + 1
        # The group has told how far it has read past the last record: to the end of a transaction.
        read_to = committed if committed is not None and after <= committed <= end else after
        lag = end - max(first, read_to) if after <= end else end - first
        gone = max(0, first - read_to)
        found.append(
            PartitionStatus(topic, place.partition, first, landed, committed, end, lag, gone)
        )
    return found


def landed_status(settings: Settings, streams: Sequence[StreamConfig]) -> list[LandedStatus]:
    """The raw tables of the streams."""
    found = []
    for stream in streams:
        for name in (stream.events_table, stream.windows_table):
            commits = RawTable(settings.raw_dir, SOURCE, name).commits()
            newest = batch_time(commits[-1].stem) if commits else None
            found.append(LandedStatus(name, len(commits), newest))
    return found
