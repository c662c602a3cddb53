"""What the stream contributes to ``lake demo``: ten minutes of readings in seconds, while it runs.

The application runs as a process of its own beside the batch half, as in real use. Here does not
belong anything that ``lake stream run`` and ``produce`` do not do, too.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import takewhile

from lakehouse.demo import DemoContext, DemoStep
from lakehouse.errors import LakeError

_COMMAND = "import sys; from lakehouse.cli.main import main; sys.exit(main())"
_EVENT_SECONDS = 600
_RATES = {"power": 1.0, "climate": 10.0}
_PATIENCE = 60.0


def steps() -> Sequence[DemoStep]:
    """The steps of the stream, in order."""
    running = _Running()
    return (
        DemoStep("Start the stream", running.start, "first build"),
        DemoStep("Send ten minutes of readings", running.send, "first build"),
        DemoStep("Let the minutes close", running.close, "second build"),
    )


class _Running:
    """The application between the demo's steps."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._sent = 0
        self._sent_at = 0.0

    def start(self, context: DemoContext) -> str:
        from streaming.brokers import BrokerError, open_broker

        environment = {**os.environ, "LAKE_ROOT": str(context.settings.root)}
        log = context.settings.state_dir / "stream" / "demo.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, "stream", "run", "--land-every", "2"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        context.resources.callback(self._end)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with open_broker(context.settings, host=False) as broker:
                    where = "the in-process broker" if broker.is_embedded else broker.bootstrap
                    return f"reading from {where}"
            except BrokerError:
                time.sleep(0.2)
        raise LakeError("the stream did not start", f"read {log}")

    def send(self, context: DemoContext) -> str:
        from streaming.brokers import open_broker
        from streaming.config import SECOND_US, STREAMS
        from streaming.producer import Sender, interleave, send_paced
        from streaming.readings import Dirt, readings
        from streaming.topics import ensure_topics

        start_us = time.time_ns() // 1000 - _EVENT_SECONDS * SECOND_US
        end_us = start_us + _EVENT_SECONDS * SECOND_US
        sources = [
            (
                stream,
                readings(
                    stream,
                    seed=context.seed,
                    start_us=start_us,
                    rate=_RATES[name],
                    devices=3,
                    dirt=Dirt(),
                ),
            )
            for name, stream in STREAMS.items()
        ]
        messages = takewhile(lambda pair: pair[1].due_us < end_us, interleave(sources))
        with open_broker(context.settings, host=False) as broker:
            ensure_topics(broker, STREAMS.values())
            with Sender(broker) as sender:
                send_paced(sender, messages, speed=0)
        self._sent, self._sent_at = sender.sent.total, time.monotonic()
        return f"{self._sent:,} readings, one in twelve of them dirty, late or twice"

    def close(self, context: DemoContext) -> str:
        # A silent device's last minute is final after idle time, grace and a margin; the build in
        # between has usually taken longer.
        time.sleep(max(0.0, self._sent_at + 25 - time.monotonic()))
        self._end()
        from lakehouse.raw import RawTable
        from streaming.config import STREAMS
        from streaming.landing import SOURCE

        counted = 0
        for stream in STREAMS.values():
            table = RawTable(context.settings.raw_dir, SOURCE, stream.events_table)
            counted += sum(info.rows for info in table.infos())
        if counted < self._sent:
            log = context.settings.state_dir / "stream" / "demo.log"
            raise LakeError(f"{counted:,} of {self._sent:,} readings landed", f"read {log}")
        return f"{counted:,} records landed, every minute final"

    def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
