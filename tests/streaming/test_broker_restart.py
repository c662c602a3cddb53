"""A real broker of our own, killed while the application reads, and started again."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stream.kit import assert_exact, own_streams, produce_readings, run_app

from streaming.brokers import Broker
from streaming.topics import ensure_topics

SCRIPTS = Path(__file__).parents[2] / "streaming" / "kafka"
pytestmark = [pytest.mark.slow, pytest.mark.kafka]


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Folder and port of a broker that only this test uses."""
    if not (shutil.which("java") and shutil.which("mvn")):
        pytest.skip("no Java or no Maven")
    folder = tmp_path / "kafka"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    up(folder, port)
    yield folder, port
    subprocess.run([SCRIPTS / "down.sh", folder], check=True, capture_output=True)


def up(folder: Path, port: int) -> None:
    # Not captured by a pipe: the broker would keep it open.
    with (folder.parent / "up.log").open("w") as log:
        subprocess.run([SCRIPTS / "up.sh", folder, str(port)], check=True, stdout=log, stderr=log)


def test_a_killed_broker_is_waited_for(own_kafka: tuple[Path, int], tmp_path: Path) -> None:
    folder, port = own_kafka
    broker = Broker(bootstrap=f"127.0.0.1:{port}")
    streams = own_streams()
    ensure_topics(broker, streams)
    produce_readings(broker, streams, 3000)

    def kill_and_start() -> None:
        time.sleep(8)
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
        time.sleep(3)
        up(folder, port)
        produce_readings(broker, streams, 3000, seed=2)

    other = threading.Thread(target=kill_and_start)
    other.start()
    run_app(tmp_path, broker, streams, idle=45)
    other.join()
    # What the application did not see before it had waited long enough.
    run_app(tmp_path, broker, streams, idle=5)
    assert_exact(tmp_path, broker, streams, 6000)
