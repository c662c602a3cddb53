"""The application on a broker: exact, never stopped by a record, final once, sparing with files."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient
from support.stream.kit import (
    assert_exact,
    landed_dead,
    landed_outcomes,
    now_us,
    own_streams,
    produce_raw,
    produce_readings,
    recount,
    run_app,
    start_victim,
    topic_records,
)

from demo.sensors.readings import CLEAN
from lakehouse.raw.verify import verify
from streaming.brokers import Broker
from streaming.config import SECOND_US, StreamConfig
from streaming.outputs import MAX_DEAD_LETTER_BYTES
from streaming.topics import ensure_topics

KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)
SLOW_EMBEDDED = pytest.param("embedded", marks=pytest.mark.slow)


def reading(stream: StreamConfig, device: str, at_us: int, **change: object) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_us // SECOND_US))
    fields = {stream.device_field: device, stream.time_field: f"{stamp}.{at_us % SECOND_US:06d}Z"}
    fields |= {measure.name: (measure.low + measure.high) / 2 for measure in stream.measures}
    fields |= dict.fromkeys(stream.attributes, "Oslo")
    return orjson.dumps(fields | change)


@pytest.mark.parametrize("broker", ["embedded", KAFKA], indirect=True)
def test_everything_sent_is_landed_and_counted_exactly(broker: Broker, tmp_path: Path) -> None:
    streams = own_streams()
    ensure_topics(broker, streams)
    acknowledged = produce_readings(broker, streams, 4000)
    app = run_app(tmp_path, broker, streams, idle=3)
    assert_exact(tmp_path, broker, streams, 4000)
    for stream in streams:
        counts = app.outcomes[stream.name]
        kinds = {kind: n for (name, kind), n in acknowledged.items() if name == stream.name}
        assert sum(counts.values()) == sum(kinds.values())
        bad = set(kinds) - {"good", "duplicate", "late"}
        assert counts["rejected"] == sum(kinds[kind] for kind in bad)
    assert [found.problem for found in verify(tmp_path / "data" / "raw") if found.problem] == []


@pytest.mark.parametrize("broker", [SLOW_EMBEDDED, KAFKA], indirect=True)
def test_nothing_that_can_be_sent_stops_the_application(broker: Broker, tmp_path: Path) -> None:
    (stream,) = own_streams(("power",))
    ensure_topics(broker, [stream])
    now, key = now_us(), b"a"
    good = reading(stream, "a", now)
    # The in-process broker drops what is beyond 5 MiB a partition: less there.
    huge = b'"' + b"x" * (200_000 if broker.is_embedded else 5 << 20) + b'"'
    bad: dict[str, tuple[bytes | None, bytes | None]] = {
        "not_json": (key, b"\xff\xfe garbage"),
        "bad_watt": (key, reading(stream, "a", now, watt="much")),
        "missing_device_name": (key, reading(stream, "a", now, device_name=None)),
        "missing_key": (None, good),
        "too_large": (key, huge),
        "unknown_schema_version": (key, reading(stream, "a", now, schema_version=2)),
        "time_in_the_future": (key, reading(stream, "a", now + 2 * 86_400 * SECOND_US)),
        "empty_value": (key, None),
        "not_object": (b"\xff\xff", b"[1]"),
    }
    produce_raw(broker, stream.topic, (key, good), *bad.values())
    later = [(key, reading(stream, "a", now + n * SECOND_US)) for n in range(1, 90)]
    produce_raw(broker, stream.topic, *later)
    app = run_app(tmp_path, broker, [stream])
    assert app.outcomes["power"]["accepted"] == 90
    assert app.outcomes["power"]["rejected"] == len(bad)
    assert_exact(tmp_path, broker, [stream], 90 + len(bad))
    dead = landed_dead(tmp_path, stream)
    assert sorted(reason for reason, _ in dead.values()) == sorted(bad)
    produced = {
        f"{headers['partition']}/{headers['offset']}": (headers["reasons"], message.value())
        for message in topic_records(broker, stream.dead_letter_topic)
        for headers in [{name: value.decode() for name, value in message.headers()}]
    }
    heads = {
        place: (reasons, payload and payload[:MAX_DEAD_LETTER_BYTES])
        for place, (reasons, payload) in dead.items()
    }
    assert produced == heads
    again = run_app(tmp_path, broker, [stream], idle=2)
    assert again.records == 0, "offsets had not moved on"


def test_each_minute_is_final_once_and_a_replay_says_the_same(
    broker: Broker, tmp_path: Path
) -> None:
    (stream,) = own_streams(("climate",))
    ensure_topics(broker, [stream])
    start = now_us() // 60_000_000 * 60_000_000 - 420 * SECOND_US
    produce_readings(broker, [stream], 180 * 4, dirt=CLEAN, rate=4, devices=3, start_us=start)
    sent = time.monotonic()
    used = {record.partition() for record in topic_records(broker, stream.topic)}
    assert len(used) < stream.partitions, "one partition is to be silent"
    emitted: list[tuple[str, int, int]] = []

    def on_emit(_: object, device: str, window: object) -> None:
        emitted.append((device, window.start, window.count))  # type: ignore[attr-defined]

    app = run_app(tmp_path / "1", broker, [stream], idle=40, on_emit=on_emit)
    assert time.monotonic() - sent < 60
    expected = {key: minute[0] for key, minute in recount(broker, stream)[1].items()}
    assert {(device, start): count for device, start, count in emitted} == expected
    assert len(emitted) == len(expected)
    finals = topic_records(broker, stream.minutes_topic)
    assert len(finals) == len(expected), "a minute was final twice"
    assert app.outcomes["climate"]["accepted"] == 720
    first = sorted(emitted)
    emitted.clear()
    run_app(tmp_path / "2", broker, [stream], idle=40, on_emit=on_emit, group="replay")
    assert sorted(emitted) == first


def test_sigterm_lands_everything_and_ends_within_ten_seconds(
    broker: Broker, tmp_path: Path
) -> None:
    streams = own_streams()
    ensure_topics(broker, streams)
    victim = start_victim(tmp_path, broker, streams, boundary="none", idle=0)
    try:
        produce_readings(broker, streams, 3000)
        deadline = time.monotonic() + 30
        while not list(tmp_path.rglob("*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.2)
        victim.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert victim.wait(20) == 0
        assert time.monotonic() - asked < 10
    finally:
        victim.kill()
    assert list(tmp_path.rglob("*.tmp")) == []
    landed = sum(len(landed_outcomes(tmp_path, stream)) for stream in streams)
    rest = run_app(tmp_path, broker, streams)
    assert landed + sum(sum(n.values()) for n in rest.outcomes.values()) == 3000
    assert_exact(tmp_path, broker, streams, 3000)


def test_a_full_disk_pauses_and_loses_nothing(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stream,) = own_streams(("power",))
    ensure_topics(broker, [stream])
    produce_readings(broker, [stream], 1500)
    refused: list[str] = []
    from lakehouse.raw import writer

    works = writer.fsync_file

    def fails_at_first(path: Path) -> None:
        # The second file of a checkpoint: what stands before it has landed, and stays.
        if len(refused) < 6 and len(refused) % 2:
            refused.append("disk")
            raise OSError(28, "No space left on device")
        refused.append("room")
        works(path)

    monkeypatch.setattr(writer, "fsync_file", fails_at_first)
    app = run_app(tmp_path, broker, [stream], idle=9)
    assert "disk" in refused
    assert app.waiting is None
    assert_exact(tmp_path, broker, [stream], 1500)


def test_what_lies_in_the_state_folder_changes_nothing(broker: Broker, tmp_path: Path) -> None:
    streams = own_streams()
    ensure_topics(broker, streams)
    start = now_us() - 300 * SECOND_US
    produce_readings(broker, streams, 1001, start_us=start)
    run_app(tmp_path, broker, streams)
    shutil.rmtree(tmp_path / "data" / "state" / "stream", ignore_errors=True)
    # The same readings again: only what has landed knows that they are duplicates.
    produce_readings(broker, streams, 1001, start_us=start)
    app = run_app(tmp_path, broker, streams)
    assert app.outcomes["power"]["duplicate"] > 100
    assert_exact(tmp_path, broker, streams, 2002)


def test_another_raw_layer_reads_the_topic_from_its_beginning(
    broker: Broker, tmp_path: Path
) -> None:
    (stream,) = own_streams(("power",))
    ensure_topics(broker, [stream])
    produce_readings(broker, [stream], 400, dirt=CLEAN, rate=40)
    run_app(tmp_path, broker, [stream])
    # What `lake clean all` does: the group stays on the broker.
    shutil.rmtree(tmp_path / "data" / "raw")
    produce_readings(broker, [stream], 400, dirt=CLEAN, rate=40, seed=2)
    run_app(tmp_path, broker, [stream])
    assert_exact(tmp_path, broker, [stream], 800)


def wait_for_both(broker: Broker, group: str) -> None:
    """Wait until a group has two members that share the partitions."""
    if broker.is_embedded:
        # It does not say.
        time.sleep(7)
        return
    admin = AdminClient(broker.client_config())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = admin.describe_consumer_groups([group])[group].result(20)
        if len(found.members) == 2 and found.state == ConsumerGroupState.STABLE:
            return
        time.sleep(0.3)


def test_two_instances_share_the_partitions(broker: Broker, tmp_path: Path) -> None:
    streams = own_streams()
    ensure_topics(broker, streams)
    produce_readings(broker, streams, 2000)
    victims = [start_victim(tmp_path, broker, streams, boundary="none", idle=8) for _ in range(2)]
    time.sleep(7)
    produce_readings(broker, streams, 4000, seed=2)
    outputs = [victim.communicate(timeout=90)[0] for victim in victims]
    assert [victim.returncode for victim in victims] == [0, 0]
    done = [json.loads(line[5:]) for out in outputs for line in out.splitlines() if "done" in line]
    assert len(done) == 2
    assert all(sum(sum(n.values()) for n in each.values()) > 0 for each in done)
    assert_exact(tmp_path, broker, streams, 6000)


def test_the_watchdog_ends_a_process_that_commits_nothing(broker: Broker, tmp_path: Path) -> None:
    (stream,) = own_streams(("power",))
    ensure_topics(broker, [stream])
    produce_readings(broker, [stream], 200)
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from pathlib import Path
from dataclasses import replace
from support.stream.kit import run_app
from streaming.brokers import Broker
from support.stream.declared import POWER
from streaming.landing import Landing
Landing.land_windows = lambda *_: time.sleep(600)
broker = Broker(bootstrap={broker.bootstrap!r}, embedded_id={broker.embedded_id!r})
stream = replace(POWER, topic={stream.topic!r}, minutes_topic={stream.minutes_topic!r},
    dead_letter_topic={stream.dead_letter_topic!r})
run_app(Path({str(tmp_path)!r}), broker, [stream], options=dict(stall_seconds=4))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    ended = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 70
    assert b"no checkpoint for" in ended.stderr
