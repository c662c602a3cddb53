"""``lake stream produce`` and ``replay``: readings onto the topics."""

import signal
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from lakehouse.cli.output import make_console, print_json, print_table
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings
from streaming.cli.common import AsJson, Names, chosen_streams, say_embedded


def produce(
    names: Names = None,
    rate: Annotated[
        float | None, typer.Option(help="Readings per second; 1 for power, 10 for climate.")
    ] = None,
    devices: Annotated[int, typer.Option(help="Devices per stream.", min=1)] = 3,
    seconds: Annotated[
        float, typer.Option(help="How much event time to send; 0 sends until Ctrl-C.")
    ] = 0.0,
    speed: Annotated[
        float, typer.Option(help="Event seconds per second; 0 is as fast as possible.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings.")] = 42,
    clean: Annotated[bool, typer.Option("--clean", help="No dirt.")] = False,
    ledger: Annotated[
        Path | None, typer.Option(help="Append a JSON line for each message sent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send invented readings, some of them dirty."""
    from streaming.brokers import open_broker
    from streaming.producer import Sender, interleave, send_paced
    from streaming.readings import CLEAN, Dirt, readings
    from streaming.topics import ensure_topics

    if seconds <= 0 and speed != 1:
        raise LakeError("without an end, readings are sent as time passes", "give --seconds too")
    usual = {"power": 1.0, "climate": 10.0}
    streams = chosen_streams(names)
    # Ahead of time nothing may be stamped: whoever sends faster begins in the past.
    start_us = time.time_ns() // 1000 - int(seconds * 1e6 if speed != 1 else 0)
    end_us = start_us + int(seconds * 1e6)
    sources = [
        (
            stream,
            readings(
                stream,
                seed=seed,
                start_us=start_us,
                rate=rate or usual[stream.name],
                devices=devices,
                dirt=CLEAN if clean else Dirt(),
            ),
        )
        for stream in streams
    ]
    messages = interleave(sources)
    wanted = (pair for pair in messages)
    if seconds > 0:
        wanted = (pair for pair in takewhile(lambda pair: pair[1].due_us < end_us, messages))
    # An in-process broker that ends with this command would take the readings with it.
    host = seconds <= 0
    with open_broker(load_settings(), host=host) as broker, _until_signal() as stopped:
        ensure_topics(broker, streams)
        say_embedded(broker)
        with Sender(broker, ledger) as sender:
            send_paced(sender, wanted, speed=speed, stopped=stopped)
    _show_sent(sender.sent.acknowledged, as_json)


def replay(
    file: Annotated[Path, typer.Argument(help="One JSON object a line.", exists=True)],
    name: Annotated[str, typer.Argument(help="power or climate")],
    speed: Annotated[
        str, typer.Option(help="How much faster than recorded, such as 60x; or max.")
    ] = "1x",
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Do not move the recorded times to today.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send recorded readings again, at another speed."""
    from streaming.brokers import open_broker
    from streaming.producer import Sender, send_paced
    from streaming.recording import recorded
    from streaming.topics import ensure_topics

    (stream,) = chosen_streams([name])
    factor = _speed(speed)
    now_us = time.time_ns() // 1000
    found = recorded(file, stream, speed=factor, now_us=now_us, keep_times=keep_times)
    with open_broker(load_settings(), host=False) as broker, _until_signal() as stopped:
        ensure_topics(broker, [stream])
        say_embedded(broker)
        with Sender(broker) as sender:
            send_paced(sender, ((stream, each) for each in found), speed=factor, stopped=stopped)
    _show_sent(sender.sent.acknowledged, as_json)


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1e6:
        raise LakeError(f"{text!r} is no speed", "give it like 60x, or max")
    return factor


class _until_signal:  # noqa: N801 - reads as a statement where it is used
    """Makes Ctrl-C and SIGTERM end the sending instead of the process."""

    def __enter__(self) -> Callable[[], bool]:
        self._asked = False
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._ask) for number in numbers}
        return lambda: self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _show_sent(acknowledged: Any, as_json: bool) -> None:
    rows = [[stream, kind, count] for (stream, kind), count in sorted(acknowledged.items())]
    if as_json:
        print_json([dict(zip(("stream", "kind", "messages"), row, strict=True)) for row in rows])
        return
    columns = {"stream": "left", "kind": "left", "messages": "right"}
    print_table(make_console(), columns, rows)
    typer.echo(f"{sum(row[2] for row in rows):,} messages acknowledged by the broker.")
