"""Making the topics, and telling one topic from another of the same name.

Here belongs everything that is asked of the broker's administration. The in-process broker answers
none of it but metadata, and makes a topic when it is asked for one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from quixstreams.models.topics import TopicAdmin, TopicConfig, TopicManager

from streaming.brokers import Broker, BrokerError
from streaming.config import StreamConfig

MAX_MESSAGE_BYTES = 8 << 20
"""Larger than any payload that we want as a dead letter instead of as an error at its producer."""
_TIMEOUT = 10.0
_WEEK_MS = str(7 * 24 * 3600 * 1000)
INPUT_CONFIG = {
    # Time bounds and silence are judged by the broker's clock, and a replay finds the same stamps.
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
    "retention.ms": _WEEK_MS,
}


def topic_configs(stream: StreamConfig) -> dict[str, TopicConfig]:
    """The topics of a stream by name."""
    output = {"max.message.bytes": str(MAX_MESSAGE_BYTES), "retention.ms": _WEEK_MS}
    return {
        stream.topic: TopicConfig(stream.partitions, 1, INPUT_CONFIG),
        stream.minutes_topic: TopicConfig(1, 1, output),
        stream.dead_letter_topic: TopicConfig(1, 1, output),
    }


def admin_client(broker: Broker) -> AdminClient:
    """An administration client.

    Raises:
        BrokerError: A property is unknown or has an impossible value.
    """
    try:
        return AdminClient({**broker.client_config(), "log_level": 0})
    except KafkaException as error:
        raise BrokerError(
            f"librdkafka does not take the settings: {error.args[0].str()}",
            "correct LAKE_KAFKA_BOOTSTRAP and the other LAKE_KAFKA_ settings (.env.example)",
        ) from error


def ensure_topics(broker: Broker, streams: Iterable[StreamConfig]) -> None:
    """Make the topics that are missing; existing ones stay as they are.

    Raises:
        BrokerError: The broker does not answer or refuses.
    """
    admin = admin_client(broker)
    wanted = {name: config for stream in streams for name, config in topic_configs(stream).items()}
    try:
        if broker.is_embedded:
            for name in wanted:
                admin.list_topics(name, timeout=_TIMEOUT)
            return
        present = set(admin.list_topics(timeout=_TIMEOUT).topics)
        new = [
            NewTopic(
                name, config.num_partitions, config.replication_factor, config=config.extra_config
            )
            for name, config in wanted.items()
            if name not in present
        ]
        for made in admin.create_topics(new).values() if new else ():
            _ignore_existing(made)
    except KafkaException as error:
        raise unreachable(broker, error) from error


def log_ids(broker: Broker, names: Iterable[str]) -> dict[str, str]:
    """Identity of each topic: another one after it has been deleted and made again.

    Raises:
        BrokerError: The broker does not answer.
    """
    names = list(names)
    if broker.embedded_id is not None:
        return dict.fromkeys(names, broker.embedded_id)
    admin = admin_client(broker)
    try:
        answers = admin.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT)
        return {name: str(answers[name].result().topic_id) for name in names}
    except KafkaException as error:
        raise unreachable(broker, error) from error


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
    admin = admin_client(broker)
    try:
        present = admin.list_topics(timeout=_TIMEOUT).topics
        names = [stream.topic for stream in streams if stream.topic in present]
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        answers = admin.describe_configs(asked, request_timeout=_TIMEOUT) if asked else {}
        stamps = {one.name: answer.result() for one, answer in answers.items()}
    except KafkaException as error:
        raise unreachable(broker, error) from error
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


def unreachable(broker: Broker, error: KafkaException) -> BrokerError:
    """The sentence for a broker that does not answer or refuses."""
    cause = error.args[0]
    if broker.is_embedded:
        return BrokerError(
            f"the in-process broker does not answer: {cause.str()}",
            "end all of `lake stream run` and start it again",
        )
    silent = cause.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT)
    return BrokerError(
        f"no broker answers at {broker.bootstrap}"
        if silent
        else f"the broker at {broker.bootstrap} refuses: {cause.str()}",
        "start it (`make kafka-up`), or correct LAKE_KAFKA_BOOTSTRAP and the other LAKE_KAFKA_"
        " settings",
    )


class _MetadataTopicAdmin(TopicAdmin):
    """Quix's topic administration on a broker that answers metadata requests only."""

    def inspect_topics(
        self, topic_names: list[str], timeout: float = 30
    ) -> dict[str, TopicConfig | None]:
        """Describe topics, making those that are missing."""
        found: dict[str, TopicConfig | None] = {}
        for name in topic_names:
            partitions = (
                self.admin_client.list_topics(name, timeout=timeout).topics[name].partitions
            )
            extra = {"retention.ms": _WEEK_MS, "retention.bytes": "-1", "cleanup.policy": "delete"}
            found[name] = TopicConfig(len(partitions), 1, extra) if partitions else None
        return found

    def create_topics(
        self, topics: list[Any], timeout: float = 30, finalize_timeout: float = 60
    ) -> None:
        """Make topics by asking for them."""
        for topic in topics:
            self.admin_client.list_topics(topic.name, timeout=timeout)


def topic_manager(broker: Broker, group: str) -> TopicManager | None:
    """What Quix needs beside its own to work on this broker; None for a real one."""
    if not broker.is_embedded:
        return None
    admin = _MetadataTopicAdmin(broker.bootstrap)
    return TopicManager(topic_admin=admin, consumer_group=group, auto_create_topics=True)
