"""Brokers for the stream's tests: the in-process one always, a real one where one is named."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.settings import Settings
from streaming.brokers import Broker, open_broker, real_broker


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    """The in-process broker, fresh for each test."""
    with open_broker(Settings(root=tmp_path)) as broker:
        yield broker


@pytest.fixture
def kafka(tmp_path: Path) -> Broker:
    """A real broker."""
    named = os.environ.get("LAKE_KAFKA_BOOTSTRAP")
    broker = real_broker(Settings(root=tmp_path, kafka_bootstrap=named))
    if broker is None:
        pytest.skip("no real broker: `make kafka-up`, then set LAKE_KAFKA_BOOTSTRAP")
    return broker


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.slow),
        pytest.param("kafka", marks=[pytest.mark.slow, pytest.mark.kafka]),
    ]
)
def broker(request: pytest.FixtureRequest) -> Broker:
    """The same test on both brokers."""
    found: Broker = request.getfixturevalue(request.param)
    return found
