"""librdkafka clients that say in one sentence why the broker does not do what is asked.

Here belongs making clients and turning their errors into ours. What is asked is the caller's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from streaming.brokers import Broker, BrokerError

_CORRECT = "correct LAKE_KAFKA_BOOTSTRAP and the other LAKE_KAFKA_ settings"


def make_client(kind: Callable[[dict[str, Any]], Any], broker: Broker, **more: Any) -> Any:
    """A client of a broker; its log stays quiet, since what matters is raised.

    Args:
        kind: ``Producer``, ``Consumer`` or ``AdminClient``.
        broker: The broker.
        more: Further librdkafka properties, dots as underscores.

    Raises:
        BrokerError: A property is unknown or has an impossible value.
    """
    properties = {name.replace("_", "."): value for name, value in more.items()}
    error_cb = properties.pop("error.cb", lambda _: None)
    config = {**broker.client_config(), "log_level": 0, "error_cb": error_cb, **properties}
    try:
        return kind(config)
    except KafkaException as error:
        raise BrokerError(
            f"librdkafka does not take the settings: {error.args[0].str()}", _CORRECT
        ) from error


@contextmanager
def asking(kind: Callable[[dict[str, Any]], Any], broker: Broker, **more: Any) -> Iterator[Any]:
    """A client for some questions; what goes wrong in the block is raised as ``BrokerError``.

    Args:
        kind: ``Consumer`` or ``AdminClient``.
        broker: The broker.
        more: Further librdkafka properties, dots as underscores.

    Raises:
        BrokerError: The broker does not answer or refuses.
    """
    causes: list[KafkaError] = []
    client = make_client(kind, broker, error_cb=causes.append, **more)
    try:
        yield client
    except KafkaException as error:
        # A request that timed out does not say why; the connection's own errors do.
        client.poll(0)
        raise _refusal(broker, error.args[0], causes) from error
    finally:
        if kind is Consumer:
            client.close()


def _refusal(broker: Broker, error: KafkaError, causes: list[KafkaError]) -> BrokerError:
    if broker.is_embedded:
        return BrokerError(
            f"the in-process broker does not answer: {error.str()}",
            "end every `lake stream run` and start it again",
        )
    if error.code() not in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
        return BrokerError(f"the broker at {broker.bootstrap} refuses: {error.str()}", _CORRECT)
    first = causes[0].str().partition("bootstrap: ")[2].partition(" (after")[0] if causes else ""
    return BrokerError(
        f"no broker answers at {broker.bootstrap}" + (f" ({first})" if first else ""),
        f"start it (`make kafka-up`), or {_CORRECT}",
    )
