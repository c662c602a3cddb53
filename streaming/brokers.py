"""Which broker to talk to: a real one by address, or librdkafka's in-process one.

``LAKE_KAFKA_BOOTSTRAP`` names a real broker; every other ``LAKE_KAFKA_<NAME>`` is passed on to
librdkafka as the property ``<name>`` with dots for underscores (``LAKE_KAFKA_SASL_PASSWORD`` is
``sasl.password``), but for ``LAKE_KAFKA_PORT``, which is docker-compose.yml's and the Makefile's.
Here does not belong what is produced or read.

The in-process broker is for demonstrations only. It forgets everything when the process that hosts
it ends, keeps at most 5 MiB or 100,000 batches a partition and drops the rest from the front
without a word, stamps records with the producer's clock, and knows no transactions.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer
from dotenv import dotenv_values

from lakehouse.errors import LakeError
from lakehouse.files import write_text_atomically
from lakehouse.locks import FileLock, current_holder
from lakehouse.settings import Settings

_PREFIX = "LAKE_KAFKA_"
_BOOTSTRAP = "LAKE_KAFKA_BOOTSTRAP"
_NO_PROPERTIES = {_BOOTSTRAP, "LAKE_KAFKA_PORT"}
_HOST_STARTS_SECONDS = 15.0
EMBEDDED_LIMITS = (
    "The in-process broker is for demonstrations: it forgets all when its host ends\n"
    "and keeps 5 MiB a partition."
)


class BrokerError(LakeError):
    """The broker does not answer or cannot do what is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where a broker is and how to talk to it.

    Attributes:
        bootstrap: ``host:port`` list.
        properties: Further librdkafka properties: TLS, SASL. Never shown.
        embedded_id: Identity of this run of the in-process broker; None for a real one.
        hosted: True if this process hosts the in-process broker.
    """

    bootstrap: str
    properties: dict[str, str] = field(default_factory=dict, repr=False)
    embedded_id: str | None = None
    hosted: bool = False

    @property
    def is_embedded(self) -> bool:
        """Whether it is the in-process one."""
        return self.embedded_id is not None

    def client_config(self) -> dict[str, str]:
        """The librdkafka properties for any client."""
        return {**self.properties, "bootstrap.servers": self.bootstrap}


def real_broker(settings: Settings) -> Broker | None:
    """The broker that the environment or ``.env`` names; None if neither does."""
    if settings.kafka_bootstrap is None:
        return None
    from_file = {k: v for k, v in dotenv_values(settings.root / ".env").items() if v is not None}
    properties = {
        name.removeprefix(_PREFIX).lower().replace("_", "."): value
        for name, value in {**from_file, **os.environ}.items()
        if name.startswith(_PREFIX) and name not in _NO_PROPERTIES and value
    }
    return Broker(bootstrap=settings.kafka_bootstrap, properties=properties)


@contextmanager
def open_broker(settings: Settings, *, host: bool = True) -> Iterator[Broker]:
    """The broker to use while the block runs.

    Args:
        settings: The project.
        host: Start the in-process broker if no broker is named and none runs; else raise.

    Raises:
        BrokerError: No broker is named, none runs, and ``host`` is False.
    """
    if named := real_broker(settings):
        yield named
        return
    folder = settings.state_dir / "stream"
    lock = FileLock(folder / "broker.lock", purpose="hosting the in-process broker")
    note = folder / "broker.json"
    until = time.monotonic() + _HOST_STARTS_SECONDS
    while not (host and lock.try_acquire()):
        if current_holder(folder / "broker.lock") is None:
            if host:
                continue
            raise BrokerError(
                "no broker is named and no in-process broker runs",
                f"start `lake stream run` in another terminal, or set {_BOOTSTRAP}",
            )
        if (found := _read_note(note)) is not None:
            yield found
            return
        if time.monotonic() > until:
            raise BrokerError(
                "the process that hosts the in-process broker does not get ready",
                f"end it (its number is in {folder / 'broker.lock'}), then start again",
            )
        time.sleep(0.05)
    try:
        with _embedded() as broker:
            text = json.dumps({"bootstrap": broker.bootstrap, "id": broker.embedded_id})
            write_text_atomically(note, text)
            yield broker
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _read_note(note: Path) -> Broker | None:
    try:
        fields = json.loads(note.read_text(encoding="utf-8"))
        return Broker(bootstrap=fields["bootstrap"], embedded_id=fields["id"])
    except FileNotFoundError:
        return None


@contextmanager
def _embedded() -> Iterator[Broker]:
    # The mock cluster lives as long as the client that asked for it.
    host = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    brokers = host.list_topics(timeout=10).brokers.values()
    address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    identity = f"embedded-{secrets.token_hex(6)}"
    try:
        yield Broker(bootstrap=address, embedded_id=identity, hosted=True)
    finally:
        del host
