"""Arguments and sentences that several of the stream's commands share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.errors import LakeError

if TYPE_CHECKING:
    from streaming.brokers import Broker
    from streaming.config import StreamConfig

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Names = Annotated[list[str] | None, typer.Argument(help="power, climate; both if none.")]
Group = Annotated[str, typer.Option(help="Consumer group.")]


def chosen_streams(names: Sequence[str] | None) -> "list[StreamConfig]":
    """The streams of these names, or all.

    Raises:
        LakeError: There is none of a name.
    """
    from streaming.config import STREAMS

    for name in names or ():
        if name not in STREAMS:
            raise LakeError(f"there is no stream {name!r}", f"name one of {', '.join(STREAMS)}")
    return [STREAMS[name] for name in names or STREAMS]


def say_embedded(broker: "Broker") -> None:
    """Say the limits of the in-process broker, if it is the one in use."""
    from streaming.brokers import EMBEDDED_LIMITS

    if broker.is_embedded:
        typer.echo(EMBEDDED_LIMITS, err=True)
