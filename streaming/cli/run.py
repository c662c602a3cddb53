"""``lake stream run``: the application in a terminal or in the background."""

import logging
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.settings import load_settings
from streaming.cli.common import Group, Names, chosen_streams

if TYPE_CHECKING:
    from streaming.app import StreamApp
    from streaming.cli.live import LiveView
    from streaming.config import StreamConfig


def run(
    names: Names = None,
    group: Group = "lakehouse",
    land_every: Annotated[
        float | None, typer.Option(help="Longest time between checkpoints, seconds.")
    ] = None,
    until_idle: Annotated[
        float, typer.Option(help="End after so many seconds without a record; 0 runs on.")
    ] = 0.0,
) -> None:
    """Count windows and land every record, until Ctrl-C or SIGTERM."""
    with warnings.catch_warnings(record=True):
        # Quix imports a package that warns of a package that nobody here uses.
        from streaming.app import RunOptions, StreamApp
    from streaming.brokers import EMBEDDED_LIMITS, open_broker
    from streaming.checkpoint_pace import CheckpointLimits
    from streaming.cli.live import LiveView, MinuteBoard
    from streaming.instances import running_instance
    from streaming.outages import through_outages
    from streaming.recount import refuse_unfinished
    from streaming.stopping import stopped_by_signals
    from streaming.topics import ensure_topics

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    settings = load_settings()
    streams = chosen_streams(settings, names)
    usual = CheckpointLimits()
    slowest = land_every or usual.slowest
    checkpoints = CheckpointLimits(slowest=slowest, fastest=min(usual.fastest, slowest))
    with ExitStack() as stack:
        broker = stack.enter_context(open_broker(settings))
        # A broker that has never answered is no outage: it is not there, or misspelt.
        ensure_topics(broker, streams)
        stack.enter_context(running_instance(settings))
        refuse_unfinished(settings, streams)
        stop = stack.enter_context(stopped_by_signals())
        options = RunOptions(
            group=group,
            checkpoints=checkpoints,
            stop_when_idle=until_idle,
        )
        board = MinuteBoard()
        typer.echo(f"Reading {_topics(streams)} at {broker.bootstrap}.")
        if broker.is_embedded:
            typer.echo(EMBEDDED_LIMITS)
        typer.echo("End it with Ctrl-C.")

        total = 0

        def attempt() -> None:
            nonlocal total
            app = StreamApp(settings, broker, streams, options, board.on_emit, stop)
            try:
                _run_shown(app, LiveView(app, board, typer.echo))
            finally:
                total += app.records

        through_outages(attempt, stop=stop)
    typer.echo(f"Ended: {total:,} records read, landed and committed. Next: lake build")


def _run_shown(app: "StreamApp", view: "LiveView") -> None:
    if not sys.stdout.isatty():
        app.on_tick = view.lines
        app.run()
        view.lines()
        return
    from rich.live import Live

    with Live(view.table(), refresh_per_second=2, transient=False) as live:
        app.on_tick = lambda: live.update(view.table())
        app.run()


def _topics(streams: "Sequence[StreamConfig]") -> str:
    return " and ".join(stream.topic for stream in streams)
