"""What the stream contributes to ``lake doctor``: does the named broker do what the stream needs?

Here belongs looking at a broker as the application will use it. Here does not belong mending it.
"""

from collections.abc import Sequence

from lakehouse.doctor import Check, Finding, ok, skipped, warning
from lakehouse.settings import Settings


def checks() -> Sequence[Check]:
    """The checks of the stream, in order."""
    return (Check("stream topics", _topics),)


def _topics(settings: Settings) -> Finding:
    """The broker lets us in, and existing topics are stamped by the broker's clock."""
    # librdkafka takes a while to import: only for those who have a broker.
    from streaming.brokers import real_broker
    from streaming.config import load_streams
    from streaming.topics import input_topics

    broker = real_broker(settings)
    if broker is None:
        return skipped("LAKE_KAFKA_BOOTSTRAP is not set; the in-process broker is used")
    found = input_topics(broker, load_streams(settings).values())
    if not found:
        return skipped("not made yet; `lake stream run` makes them")
    unstamped = [topic.name for topic in found if topic.timestamp_type != "LogAppendTime"]
    if unstamped:
        return warning(
            f"{' and '.join(unstamped)} are stamped by their producers, so a wrong clock there can"
            " close minutes early",
            "set message.timestamp.type=LogAppendTime on them",
        )
    return ok(", ".join(f"{topic.name}: {topic.partitions} partitions" for topic in found))
