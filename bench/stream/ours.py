"""Candidate: this project's stream application, as `lake stream run` runs it."""

import sys
import time
from pathlib import Path

from bench.stream.workload import Meter, bench_stream
from lakehouse.settings import Settings
from streaming.app import RunOptions, StreamApp
from streaming.brokers import Broker

IDLE_SECONDS = 20.0
"""Of two instances neither sees all records: each ends when nothing has come for so long."""


def main(bootstrap: str, topic: str, events: int, root: Path, group: str) -> None:
    """Read records until so many have been read, then end as on SIGTERM."""
    options = RunOptions(group=group, stop_when_idle=IDLE_SECONDS)
    broker, meter = Broker(bootstrap=bootstrap), Meter()
    app = StreamApp(Settings(root=root), broker, [bench_stream(topic)], options)
    meter.start()
    reading = Reading()

    def look() -> None:
        read = sum(app.outcomes["power"].values())
        reading.look(read)
        if read >= events:
            app.stop()

    app.on_tick = look
    app.run()
    read = sum(app.outcomes["power"].values())
    reading.look(read)
    meter.report(read, outcomes=app.outcomes["power"], samples=reading.samples)


class Reading:
    """How many records an instance had read when: pairs of seconds since 1970 and records."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int]] = []

    def look(self, read: int) -> None:
        """Note how many records have been read, if there are more of them."""
        if read > (self.samples[-1][1] if self.samples else 0):
            self.samples.append((time.time(), read))


if __name__ == "__main__":
    place, name, count, folder, consumers = sys.argv[1:]
    main(place, name, int(count), Path(folder), consumers)
