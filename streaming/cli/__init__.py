"""The stream's commands: ``lake stream run``, ``status``, ``peek``, ``dlq`` and the others.

Here belongs their registration. Each module of this package holds commands of one kind: arguments
and how results look. Heavy imports are in the commands' bodies: ``lake`` must start fast for those
who do not stream.
"""

import typer

from lakehouse.cli.output import examples
from streaming.cli.dlq import dlq_replay, dlq_show
from streaming.cli.peek import peek
from streaming.cli.recount import recount
from streaming.cli.replay import replay
from streaming.cli.run import run
from streaming.cli.status import status

_NAME = "stream"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    stream_commands(app)


def stream_commands(app: typer.Typer) -> typer.Typer:
    """The group ``lake stream``, made at the first call: another layer may add to it."""
    for group in app.registered_groups:
        if group.name == _NAME and group.typer_instance is not None:
            return group.typer_instance
    stream = typer.Typer(help="Sensor readings from Kafka, by the minute.", no_args_is_help=True)
    stream.command(epilog=examples("lake stream run", "lake stream run climate"))(run)
    stream.command(epilog=examples("lake stream replay readings.jsonl climate --speed 60x"))(replay)
    stream.command(epilog=examples("lake stream status"))(status)
    stream.command(epilog=examples("lake stream peek sensor_topic --limit 3"))(peek)
    stream.command(epilog=examples("lake stream recount power"))(recount)
    dlq = typer.Typer(help="Dead letters: records that were rejected.", no_args_is_help=True)
    dlq.command(name="show", epilog=examples("lake stream dlq show --reason missing_key"))(dlq_show)
    dlq.command(name="replay", epilog=examples("lake stream dlq replay --rekey --dry-run"))(
        dlq_replay
    )
    stream.add_typer(dlq, name="dlq")
    app.add_typer(stream, name=_NAME)
    return stream
