"""The commands, as a person uses them: two terminals and the in-process broker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from support.stream.declared import declare_streams

PROGRAM = """
import sys, typer
import lakehouse.cli.main as main
from demo.sensors.cli import register as register_sensors
from streaming.cli import register
main._register_layers = lambda app: register_sensors(app) or register(app) or []
sys.exit(main.main())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    declare_streams(tmp_path)
    names = {name: value for name, value in os.environ.items() if "KAFKA" not in name}
    return {**names, "LAKE_ROOT": str(tmp_path), "PYTHONWARNINGS": "ignore"}


def start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "stream", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lake(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    process = start(environment, *arguments)
    out, err = process.communicate(timeout=90)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.slow
def test_two_terminals(environment: dict[str, str], tmp_path: Path) -> None:
    running = start(environment, "run", "--land-every", "1")
    try:
        assert running.stdout is not None
        first = running.stdout.readline()
        assert first.startswith("Reading sensor_topic and sensor_readings_raw at ")
        assert "in-process broker" in running.stdout.readline()
        deliveries = tmp_path / "deliveries.jsonl"
        sent = lake(
            environment,
            *("produce", "--seconds", "300", "--speed", "0", "--devices", "4"),
            *("--deliveries", str(deliveries), "--json"),
        )
        assert sent.returncode == 0, sent.stderr
        total = sum(row["messages"] for row in json.loads(sent.stdout))
        # 300 seconds at 1 and at 10 a second, and about one in a hundred of them twice.
        assert 3300 <= total <= 3400
        assert len(deliveries.read_text().splitlines()) == total
        lines = []
        while not (lines and lines[-1].startswith("power")):
            lines.append(running.stdout.readline())
        assert any("UTC: " in line and "average temperature" in line for line in lines)
        landed = 0
        deadline = time.monotonic() + 40
        while landed < 3 and time.monotonic() < deadline:
            status = json.loads(lake(environment, "status", "--json").stdout)
            landed = sum(table["commits"] > 0 for table in status["landed"])
            if not sum(place["lag"] for place in status["partitions"]):
                break
        assert sum(place["end"] for place in status["partitions"]) == total
        letters = json.loads(lake(environment, "dlq", "show", "--json").stdout)
        assert {letter["stream"] for letter in letters} == {"power", "climate"}
        assert all(letter["reasons"] for letter in letters)
        shown = lake(environment, "dlq", "show", "power", "--limit", "2").stdout.splitlines()
        assert shown[0].startswith("sensor_topic/")
        assert len(shown) == 4
        assert max(map(len, shown)) <= 80
        peeked = json.loads(
            lake(environment, "peek", "sensor_topic", "--limit", "7", "--json").stdout
        )
        assert len(peeked) == 7
        newest = max(place["end"] for place in status["partitions"])
        assert max(record["offset"] for record in peeked) < newest
        shown = lake(environment, "peek", "power_dead_letters", "--limit", "1").stdout
        assert shown.startswith("power_dead_letters/")
        assert "reasons=" in shown
        missing = lake(environment, "peek", "nowhere")
        assert missing.returncode == 1
        assert "name one of climate_dead_letters" in missing.stderr
        refused = lake(environment, "recount")
        assert "stream run` is running" in refused.stderr
        again = lake(environment, "dlq", "replay", "--rekey", "--dry-run")
        assert "still invalid" in again.stdout
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "landed and committed" in out


def test_replay_produces_the_fixed_letters_once(
    tmp_path: Path,
) -> None:
    from support.stream.declared import POWER

    from demo.sensors.readings import Dirt, readings
    from lakehouse.settings import Settings
    from streaming.dead_letters import dead_letters, replay
    from streaming.events import Event
    from streaming.landing import Landing
    from streaming.records import RecordBatch, RejectedRecord
    from streaming.window_state import Device, PartitionState

    settings = Settings(root=tmp_path)
    start_us = 1_772_366_400_000_000
    source = readings(
        POWER, seed=1, start_us=start_us, rate=1, devices=1, dirt=Dirt(*[0.0] * 7, 1.0)
    )
    rejected = RecordBatch()
    for offset in range(3):
        value = next(source).value
        rejected.reject(RejectedRecord(offset, start_us, ("missing_key",), None, value))
    landing = Landing(settings.raw_dir, POWER)
    landing.land_events("x", 0, rejected, after_offset=-1, state=PartitionState())
    assert len(dead_letters(settings, POWER, reason="missing_key")) == 3
    assert len(dead_letters(settings, POWER, reason="not_json")) == 0
    assert replay(settings, POWER, None).invalid == {"missing_key": 3}
    assert replay(settings, POWER, None, rekey=True).produced == 3
    event = Event("power-000", start_us, (1, 1, 1), ("Oslo",), False)
    landed = RecordBatch()
    landed.add(3, start_us, "accepted", event, Device("power-000", start_us), None)
    landing.land_events("x", 0, landed, after_offset=2, state=PartitionState())
    done = replay(settings, POWER, None, rekey=True)
    assert (done.produced, done.landed) == (2, 1)
    marks = {letter.offset: letter.replayed for letter in dead_letters(settings, POWER)}
    assert sorted(marks.values()) == [False, False, True], "what has landed since is marked"


@pytest.mark.parametrize("demo_first", [True, False])
def test_the_demo_adds_its_command_to_the_streams(demo_first: bool) -> None:
    from demo.sensors.cli import register as register_sensors
    from streaming.cli import register

    app = typer.Typer()
    for layer in (register_sensors, register) if demo_first else (register, register_sensors):
        layer(app)
    (group,) = app.registered_groups
    assert group.typer_instance is not None
    commands = [c.callback.__name__ for c in group.typer_instance.registered_commands if c.callback]
    assert sorted(commands) == ["peek", "produce", "recount", "replay", "run", "status"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "wind"], "name one of power, climate"),
        (["replay", __file__, "power", "--speed", "fast"], "give it like 60x, or max"),
        (["produce", "--speed", "0"], "give --seconds too"),
        (["status"], "lake stream run` in another terminal"),
    ],
)
def test_wrong_arguments_are_answered_with_the_next_step(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import lakehouse.cli.main as main
    from demo.sensors.cli import register

    declare_streams(tmp_path)
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path))
    monkeypatch.delenv("LAKE_KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.setattr(main, "_register_layers", lambda app: register(app) or [])
    assert main.main(["stream", *arguments]) == 1
    assert words in capsys.readouterr().err
