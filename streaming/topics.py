"""Making the topics, and looking at how they are made.

Here belongs everything that is asked of the broker's administration. The in-process broker answers
none of it but metadata, and makes a topic when it is asked for one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from streaming.brokers import Broker
from streaming.clients import asking
from streaming.config import StreamConfig

MAX_MESSAGE_BYTES = 8 << 20
"""Larger than any payload that we want as a dead letter instead of as an error at its producer."""
_TIMEOUT = 10.0
_COPIES = -1
"""As many as the broker's ``default.replication.factor`` says: one on a single node."""
WEEK_MS = str(7 * 24 * 3600 * 1000)
INPUT_CONFIG = {
    # Time bounds and silence are judged by the broker's clock, and a replay finds the same stamps.
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
    "retention.ms": WEEK_MS,
}


class TopicShape(NamedTuple):
    """How a topic is made: its partitions and its configuration."""

    partitions: int
    config: dict[str, str]


def topic_shapes(stream: StreamConfig) -> dict[str, TopicShape]:
    """The topics of a stream by name."""
    output = {"max.message.bytes": str(MAX_MESSAGE_BYTES), "retention.ms": WEEK_MS}
    return {
        stream.topic: TopicShape(stream.partitions, INPUT_CONFIG),
        stream.minutes_topic: TopicShape(1, output),
        stream.dead_letter_topic: TopicShape(1, output),
    }


def ensure_topics(broker: Broker, streams: Iterable[StreamConfig]) -> None:
    """Make the topics that are missing; existing ones stay as they are.

    Raises:
        BrokerError: The broker does not answer or refuses.
    """
    wanted = {name: shape for stream in streams for name, shape in topic_shapes(stream).items()}
    with asking(AdminClient, broker) as admin:
        if broker.is_embedded:
            for name in wanted:
                admin.list_topics(name, timeout=_TIMEOUT)
            return
        present = set(admin.list_topics(timeout=_TIMEOUT).topics)
        new = [
            NewTopic(name, shape.partitions, _COPIES, config=shape.config)
            for name, shape in wanted.items()
            if name not in present
        ]
        for made in admin.create_topics(new).values() if new else ():
            _ignore_existing(made)


@dataclass(frozen=True, slots=True)
class InputTopic:
    """A topic that is read, as its broker has it.

    Attributes:
        timestamp_type: ``LogAppendTime`` if the broker stamps its records.
    """

    name: str
    partitions: int
    timestamp_type: str


def input_topics(broker: Broker, streams: Iterable[StreamConfig]) -> list[InputTopic]:
    """Those of the streams' topics that exist on a real broker.

    Raises:
        BrokerError: The broker does not answer or refuses.
    """
    with asking(AdminClient, broker) as admin:
        present = admin.list_topics(timeout=_TIMEOUT).topics
        names = [stream.topic for stream in streams if stream.topic in present]
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        answers = admin.describe_configs(asked, request_timeout=_TIMEOUT) if asked else {}
        stamps = {one.name: answer.result() for one, answer in answers.items()}
    return [
        InputTopic(
            name, len(present[name].partitions), stamps[name]["message.timestamp.type"].value
        )
        for name in names
    ]


def _ignore_existing(made: Any) -> None:
    try:
        made.result(_TIMEOUT)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
