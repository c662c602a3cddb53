"""``lake stream replay``: recorded readings onto a topic."""

import time
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.errors import LakeError
from lakehouse.settings import load_settings
from streaming.cli.common import (
    AsJson,
    chosen_streams,
    say_embedded,
    show_deliveries,
    until_signal,
)


def replay(
    file: Annotated[Path, typer.Argument(help="One JSON object a line.", exists=True)],
    name: Annotated[str, typer.Argument(help="The stream that they are of.")],
    speed: Annotated[
        str, typer.Option(help="How much faster than recorded, such as 60x; or max.")
    ] = "1x",
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Do not move the recorded times to today.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Produce recorded readings again, at another speed."""
    from streaming.brokers import open_broker
    from streaming.producer import MessageProducer, produce_paced
    from streaming.recording import recorded
    from streaming.topics import ensure_topics

    settings = load_settings()
    (stream,) = chosen_streams(settings, [name])
    factor = _speed(speed)
    now_us = time.time_ns() // 1000
    found = recorded(file, stream, speed=factor, now_us=now_us, keep_times=keep_times)
    with open_broker(settings, host=False) as broker, until_signal() as stopped:
        ensure_topics(broker, [stream])
        say_embedded(broker)
        with MessageProducer(broker) as producer:
            messages = ((stream, message) for message in found)
            produce_paced(producer, messages, speed=factor, stopped=stopped)
    show_deliveries(producer.deliveries, as_json=as_json)


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
