"""Why a broker does not do what is asked, in a sentence with the next command."""

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from lakehouse.settings import Settings
from streaming.brokers import Broker, BrokerError
from streaming.checks import checks
from streaming.clients import asking, make_client
from streaming.topics import ensure_topics, input_topics

NOBODY = Broker(bootstrap="127.0.0.1:1")


@pytest.mark.parametrize(("kind", "more"), [(AdminClient, {}), (Consumer, {"group_id": "x"})])
def test_a_broker_that_is_not_there_is_named_with_the_cause(
    kind: type, more: dict[str, str]
) -> None:
    with (
        pytest.raises(BrokerError, match=r"no broker answers at 127.0.0.1:1 .*refused") as caught,
        asking(kind, NOBODY, **more) as client,
    ):
        client.list_topics(timeout=1)
    assert "make kafka-up" in caught.value.next_step


def test_a_misspelt_setting_is_named() -> None:
    misspelt = Broker(bootstrap="127.0.0.1:1", properties={"sasl.pasword": "secret"})
    with pytest.raises(BrokerError, match=r"sasl\.pasword") as caught:
        make_client(Producer, misspelt)
    assert "secret" not in str(caught.value)


def test_the_doctor_looks_at_a_named_broker_only(tmp_path: object) -> None:
    (check,) = checks()
    assert check.run(Settings(root=tmp_path)).outcome == "skipped"  # type: ignore[arg-type]


@pytest.mark.kafka
def test_the_topics_are_stamped_by_the_broker(kafka: Broker) -> None:
    from support.stream.kit import own_streams

    streams = own_streams()
    assert input_topics(kafka, streams) == []
    ensure_topics(kafka, streams)
    ensure_topics(kafka, streams)
    assert [(t.name, t.partitions, t.timestamp_type) for t in input_topics(kafka, streams)] == [
        (stream.topic, 4, "LogAppendTime") for stream in streams
    ]


@pytest.mark.kafka
def test_tls_to_a_broker_without_it_is_said(kafka: Broker) -> None:
    wrong = Broker(bootstrap=kafka.bootstrap, properties={"security.protocol": "ssl"})
    with (
        pytest.raises(BrokerError, match="SSL"),
        asking(AdminClient, wrong) as client,
    ):
        client.list_topics(timeout=2)
