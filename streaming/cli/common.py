"""Arguments and sentences that several of the stream's commands share."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.output import make_console, print_json, print_table
from lakehouse.errors import LakeError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from streaming.brokers import Broker
    from streaming.config import StreamConfig
    from streaming.producer import Deliveries

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Names = Annotated[list[str] | None, typer.Argument(help="Streams, such as power; all if none.")]
Group = Annotated[str, typer.Option(help="Consumer group.")]


def chosen_streams(settings: Settings, names: Sequence[str] | None) -> "list[StreamConfig]":
    """The streams of these names, or all.

    Raises:
        LakeError: There is none of a name, or the declaration of the streams is wrong.
    """
    from streaming.config import load_streams

    streams = load_streams(settings)
    for name in names or ():
        if name not in streams:
            raise LakeError(f"there is no stream {name!r}", f"name one of {', '.join(streams)}")
    return [streams[name] for name in names or streams]


def say_embedded(broker: "Broker") -> None:
    """Say the limits of the in-process broker, if it is the one in use."""
    from streaming.brokers import EMBEDDED_LIMITS

    if broker.is_embedded:
        typer.echo(EMBEDDED_LIMITS, err=True)


@contextmanager
def until_signal() -> Iterator[Callable[[], bool]]:
    """Makes Ctrl-C and SIGTERM end what asks for it instead of the process, while the block runs.

    Yields:
        Whether one of them has come.
    """
    came: list[int] = []

    def note(number: int, _: object) -> None:
        came.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bytes_text(data: bytes | None) -> str | None:
    """Bytes as text; what is no UTF-8 escaped."""
    return None if data is None else data.decode("utf-8", "backslashreplace")


def show_deliveries(deliveries: "Deliveries", *, as_json: bool) -> None:
    """Print how many messages the broker has acknowledged, by stream and kind."""
    counts = sorted(deliveries.acknowledged.items())
    rows = [[stream, kind, count] for (stream, kind), count in counts]
    if as_json:
        print_json([dict(zip(("stream", "kind", "messages"), row, strict=True)) for row in rows])
        return
    columns = {"stream": "left", "kind": "left", "messages": "right"}
    print_table(make_console(), columns, rows)
    typer.echo(f"{deliveries.total:,} messages acknowledged by the broker.")
