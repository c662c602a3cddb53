"""Finding a broker: a named one, the in-process one of another process, or our own."""

import threading
import time
from pathlib import Path

import pytest

from lakehouse.locks import FileLock
from lakehouse.settings import Settings
from streaming.brokers import BrokerError, open_broker


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("LAKE_KAFKA_BOOTSTRAP", raising=False)
    return Settings(root=tmp_path)


def test_a_named_broker_gets_its_tls_and_sasl_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
    monkeypatch.setenv("LAKE_KAFKA_PORT", "9093")
    (settings.root / ".env").write_text("LAKE_KAFKA_SASL_PASSWORD=secret\n")
    with open_broker(Settings(root=settings.root, kafka_bootstrap="kafka:9093")) as broker:
        assert broker.client_config() == {
            "bootstrap.servers": "kafka:9093",
            "security.protocol": "sasl_ssl",
            "sasl.password": "secret",
        }
        assert not broker.is_embedded
        assert "secret" not in repr(broker)


def test_one_process_hosts_and_others_find_it(settings: Settings) -> None:
    with open_broker(settings) as host:
        assert host.hosted
        with open_broker(settings, host=False) as guest:
            assert (guest.bootstrap, guest.embedded_id) == (host.bootstrap, host.embedded_id)
            assert not guest.hosted
    with (
        pytest.raises(BrokerError, match="no in-process broker runs"),
        open_broker(settings, host=False),
    ):
        pass


def test_a_host_that_is_just_starting_is_waited_for(settings: Settings) -> None:
    folder = settings.state_dir / "stream"
    starting = FileLock(folder / "broker.lock", purpose="starting")
    assert starting.try_acquire()

    def get_ready() -> None:
        time.sleep(0.5)
        (folder / "broker.json").write_text('{"bootstrap": "127.0.0.1:1", "id": "x"}')

    thread = threading.Thread(target=get_ready)
    thread.start()
    for host in (True, False):
        with open_broker(settings, host=host) as broker:
            assert broker.bootstrap == "127.0.0.1:1"
    thread.join()
    starting.release()
