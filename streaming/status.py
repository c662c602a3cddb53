"""How far the stream has come: committed offsets against the topics' ends, and what has landed.

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

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition for a consumer group.

    Attributes:
        committed: The next offset to read; None if the group has never committed.
        end: The offset after the last record.
        lag: Records that wait.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class LandedStatus:
    """One raw table: its commits and when the newest was made (UTC); None without any."""

    table: str
    commits: int
    newest: datetime | None


def partition_status(
    broker: Broker, streams: Sequence[StreamConfig], group: str
) -> list[PartitionStatus]:
    """The partitions of the streams' topics.

    Raises:
        BrokerError: The broker does not answer.
    """
    with asking(Consumer, broker, group_id=group) as consumer:
        return [status for stream in streams for status in _topic_status(consumer, stream.topic)]


def _topic_status(consumer: Consumer, topic: str) -> list[PartitionStatus]:
    numbers = sorted(consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic].partitions)
    places = [TopicPartition(topic, number) for number in numbers]
    found = []
    for place in consumer.committed(places, timeout=_TIMEOUT) if places else []:
        low, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
        committed = place.offset if place.offset >= 0 else None
        lag = end - max(low, committed or 0)
        found.append(PartitionStatus(topic, place.partition, committed, end, max(lag, 0)))
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
