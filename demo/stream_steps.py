"""The demo's steps with the stream: ten minutes of readings in seconds, while it runs.

The application runs as a process of its own beside the steps with the shop, as in real use. Here
belongs calling ``streaming`` in the demo's order. Here does not belong anything that ``lake stream
run`` and ``produce`` do not do, too.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo.step import DemoContext, DemoStep
from lakehouse.errors import LakeError
from lakehouse.settings import Settings

_COMMAND = "import sys; from lakehouse.cli.main import main; sys.exit(main())"
_EVENT_SECONDS = 600
_PATIENCE = 60.0


def steps() -> Sequence[DemoStep]:
    """The steps of the stream, in order."""
    running = _Running()
    return (
        DemoStep("Start the stream", running.start, "first build"),
        DemoStep("Produce readings", running.produce, "first build"),
        DemoStep("Let the minutes close", running.close, "second build"),
    )


class _Running:
    """The application between the demo's steps."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._produced = 0
        self._before = self._end_us = 0

    def start(self, context: DemoContext) -> str:
        from streaming.brokers import BrokerError, open_broker

        self._before = _landed_rows(context.settings)
        environment = {**os.environ, "LAKE_ROOT": str(context.settings.root)}
        log = _log(context.settings)
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
        raise _failure(context.settings)

    def produce(self, context: DemoContext) -> str:
        from demo.sensors.readings import Dirt, of_streams
        from streaming.brokers import open_broker
        from streaming.config import MINUTE_US, SECOND_US, load_streams
        from streaming.producer import MessageProducer, produce_paced
        from streaming.topics import ensure_topics

        # Readings of half a minute more close the windows before; waiting for silence takes longer.
        self._end_us = (time.time_ns() // 1000 // MINUTE_US - 1) * MINUTE_US
        end_us = self._end_us + MINUTE_US // 2
        streams = load_streams(context.settings).values()
        messages = of_streams(
            streams,
            seed=context.seed,
            start_us=end_us - _EVENT_SECONDS * SECOND_US,
            end_us=end_us,
            dirt=Dirt(),
        )
        with open_broker(context.settings, host=False) as broker:
            ensure_topics(broker, streams)
            with MessageProducer(broker) as producer:
                produce_paced(producer, messages, speed=0)
        self._produced = producer.deliveries.total
        return f"{self._produced:,} of ten minutes, some dirty or late"

    def close(self, context: DemoContext) -> str:
        until = time.monotonic() + _PATIENCE
        while True:
            minutes, still_open = _minutes(context.settings, self._end_us)
            landed = _landed_rows(context.settings) - self._before
            if landed >= self._produced and minutes and not still_open:
                break
            if self._process is None or self._process.poll() is not None:
                raise _failure(context.settings)
            if time.monotonic() > until:
                raise LakeError(
                    f"{landed:,} of {self._produced:,} readings landed, {still_open:,} minutes are"
                    " still open",
                    "end other `lake stream run` of this checkout, or read"
                    f" {_log(context.settings)}",
                )
            time.sleep(0.5)
        self._end()
        return f"{landed:,} records landed, {minutes:,} minutes final"

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


def _log(settings: Settings) -> Path:
    return settings.state_dir / "stream" / "demo.log"


def _failure(settings: Settings) -> LakeError:
    log = _log(settings)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return LakeError(f"`lake stream run` ended: {' '.join(said[-1:])}", f"read {log}")


def _landed_rows(settings: Settings) -> int:
    from lakehouse.raw import RawTable
    from streaming.config import load_streams
    from streaming.landing import SOURCE

    streams = load_streams(settings).values()
    tables = [RawTable(settings.raw_dir, SOURCE, each.events_table) for each in streams]
    return sum(info.rows for table in tables for info in table.infos())


_MINUTES = """
with minute as (
    select log_id, _batch_id, is_final
    from read_parquet(?, hive_partitioning = false)
    where window_end <= make_timestamptz(?)
    qualify row_number() over (
        partition by log_id, device, window_start order by version desc, is_final desc
    ) = 1
)

select count(*), count(*) filter (where not is_final)
from minute
where log_id = (select arg_max(log_id, _batch_id) from minute)
"""
"""A demo that was interrupted left open minutes of a log that nobody reads any more."""


def _minutes(settings: Settings, end_us: int) -> tuple[int, int]:
    """How many minutes up to a moment have landed, and how many of them are not final."""
    import duckdb

    from lakehouse.raw import RawTable
    from streaming.config import load_streams
    from streaming.landing import SOURCE

    minutes = still_open = 0
    for stream in load_streams(settings).values():
        table = RawTable(settings.raw_dir, SOURCE, stream.windows_table)
        if files := table.files():
            with duckdb.connect() as db:
                ((landed, not_final),) = db.execute(_MINUTES, [files, end_us]).fetchall()
            minutes, still_open = minutes + landed, still_open + not_final
    return minutes, still_open
