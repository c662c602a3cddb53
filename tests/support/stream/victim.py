"""A stream application that kills itself at a boundary: run as a program by the kill tests.

Its argument is a JSON object, as ``kit.start_victim`` makes it.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import streaming.app
from lakehouse.settings import Settings
from streaming.app import RunOptions, StreamApp
from streaming.brokers import Broker
from streaming.landing import Landing
from streaming.processor import StreamProcessor
from support.stream.declared import STREAMS
from support.stream.kit import QUICK, SESSION

BOUNDARIES = (
    "before-outputs",
    "after-outputs",
    "before-files",
    "between-files",
    "after-files",
    "before-offsets",
    "after-offsets",
    "mid-batch",
)


class Killer:
    """Kills this process at one boundary with some chance."""

    def __init__(self, boundary: str, chance: float, seed: int) -> None:
        self._boundary, self._chance = boundary, chance
        self._random = random.Random(seed)

    def at(self, boundary: str, share: float = 1.0) -> None:
        if boundary == self._boundary and self._random.random() < self._chance * share:
            print("killed", boundary, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, method: str, name: str) -> None:
        """Put boundaries before and after a method of a class or an object."""
        original: Callable[..., Any] = getattr(owner, method)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.at(f"before-{name}")
            result = original(*args, **kwargs)
            self.at(f"after-{name}")
            return result

        setattr(owner, method, wrapped)


def main() -> None:
    order = json.loads(sys.argv[1])
    killer = Killer(order["boundary"], order["chance"], order["seed"])
    streams = [replace(STREAMS[name], **fields) for name, fields in order["streams"].items()]
    broker = Broker(bootstrap=order["bootstrap"], embedded_id=order["embedded_id"])
    # Many small checkpoints: many boundaries to die at.
    checkpoints = replace(QUICK, most_rows=order["rows"])
    streaming.app._TICK_SECONDS = 0.05
    options = RunOptions(
        group=order["group"],
        checkpoints=checkpoints,
        stop_when_idle=order["idle"],
        consumer={**SESSION, **order["consumer"]},
    )
    land_windows, on_records = Landing.land_windows, StreamProcessor.on_records

    def land_then_maybe_die(*args: Any) -> Any:
        result = land_windows(*args)
        killer.at("between-files", 0.4)
        return result

    def records_unless_dead(processor: Any, number: int, messages: Any) -> None:
        half = len(messages) // 2
        on_records(processor, number, messages[:half])
        killer.at("mid-batch", len(messages) / 1500)
        on_records(processor, number, messages[half:])

    Landing.land_windows = land_then_maybe_die  # type: ignore[method-assign]
    StreamProcessor.on_records = records_unless_dead  # type: ignore[method-assign]
    killer.around(StreamProcessor, "land", "files")
    app = StreamApp(Settings(root=Path(order["root"])), broker, streams, options)
    killer.around(app._quix.context.producer, "flush", "outputs")
    killer.around(app._quix.context.consumer, "commit", "offsets")
    app.run()
    print("done", json.dumps(app.outcomes), flush=True)


if __name__ == "__main__":
    main()
