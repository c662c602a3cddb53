"""Quix's administration of topics on the in-process broker, which answers metadata only."""

from typing import Any

from quixstreams.models.topics import TopicAdmin, TopicConfig, TopicManager

from streaming.brokers import Broker
from streaming.topics import WEEK_MS


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
            extra = {"retention.ms": WEEK_MS, "retention.bytes": "-1", "cleanup.policy": "delete"}
            found[name] = TopicConfig(len(partitions), 1, extra) if partitions else None
        return found

    def create_topics(
        self, topics: list[Any], timeout: float = 30, finalize_timeout: float = 60
    ) -> None:
        """Make topics by asking for them."""
        for topic in topics:
            self.admin_client.list_topics(topic.name, timeout=timeout)


def topic_manager(broker: Broker, group: str) -> TopicManager | None:
    """The topic manager that a broker needs; None for a real one, which gets Quix's own."""
    if not broker.is_embedded:
        return None
    admin = _MetadataTopicAdmin(broker.bootstrap)
    return TopicManager(topic_admin=admin, consumer_group=group, auto_create_topics=True)
