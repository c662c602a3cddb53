"""The demo's steps with the stream, without Kafka and without Java."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from support.stream.declared import declare_streams

from demo import DemoContext, stream_steps
from lakehouse.settings import Settings


@pytest.mark.slow
def test_ten_minutes_of_readings_land_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKE_KAFKA_BOOTSTRAP", raising=False)
    declare_streams(tmp_path)
    with ExitStack() as resources:
        context = DemoContext(
            settings=Settings(root=tmp_path), scale=1.0, seed=1, resources=resources
        )
        said = [step.run(context) for step in stream_steps.steps()]
    assert "in-process broker" in said[0]
    assert said[2].endswith(" 60 minutes final")


@pytest.mark.slow
def test_a_demo_that_fails_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKE_KAFKA_BOOTSTRAP", raising=False)
    declare_streams(tmp_path)
    with ExitStack() as resources:
        context = DemoContext(
            settings=Settings(root=tmp_path), scale=1.0, seed=1, resources=resources
        )
        running = stream_steps._Running()
        running.start(context)
        process = running._process
        assert process is not None
    assert process.poll() is not None
