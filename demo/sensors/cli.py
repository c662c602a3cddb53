"""``lake stream produce``: invented readings onto the topics.

Here belong its arguments. It stands among the stream's own commands, which know nothing of it.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.output import examples
from lakehouse.errors import LakeError
from lakehouse.settings import load_settings
from streaming.cli import stream_commands
from streaming.cli.common import (
    AsJson,
    Names,
    chosen_streams,
    say_embedded,
    show_deliveries,
    until_signal,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    stream_commands(app).command(
        epilog=examples(
            "lake stream produce", "lake stream produce climate --rate 1000 --seconds 60 --clean"
        )
    )(produce)


def produce(
    names: Names = None,
    rate: Annotated[
        float | None, typer.Option(help="Readings per second; 1 for power, 10 for climate.")
    ] = None,
    devices: Annotated[int, typer.Option(help="Devices per stream.", min=1)] = 3,
    seconds: Annotated[
        float, typer.Option(help="How much event time to produce; 0 goes on until Ctrl-C.")
    ] = 0.0,
    speed: Annotated[
        float, typer.Option(help="Event seconds per second; 0 is as fast as possible.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings.")] = 42,
    clean: Annotated[bool, typer.Option("--clean", help="No dirt.")] = False,
    deliveries: Annotated[
        Path | None, typer.Option(help="Append a JSON line for each message delivered.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Produce invented readings, some of them dirty."""
    from demo.sensors.readings import CLEAN, Dirt, of_streams
    from streaming.brokers import open_broker
    from streaming.producer import MessageProducer, produce_paced
    from streaming.topics import ensure_topics

    if seconds <= 0 and speed != 1:
        raise LakeError("without an end, readings come as time passes", "give --seconds too")
    settings = load_settings()
    streams = chosen_streams(settings, names)
    # Ahead of time nothing may be stamped: whoever produces faster begins in the past.
    start_us = time.time_ns() // 1000 - int(seconds * 1e6 if speed != 1 else 0)
    messages = of_streams(
        streams,
        seed=seed,
        start_us=start_us,
        end_us=start_us + int(seconds * 1e6) if seconds > 0 else None,
        rate=rate,
        devices=devices,
        dirt=CLEAN if clean else Dirt(),
    )
    # An in-process broker that ends with this command would take the readings with it.
    host = seconds <= 0
    with open_broker(settings, host=host) as broker, until_signal() as stopped:
        ensure_topics(broker, streams)
        say_embedded(broker)
        with MessageProducer(broker, deliveries) as producer:
            produce_paced(producer, messages, speed=speed, stopped=stopped)
    show_deliveries(producer.deliveries, as_json=as_json)
