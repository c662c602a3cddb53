"""The stream's commands: ``lake stream run``, ``produce``, ``replay``, ``status`` and ``dlq``.

Here belongs their registration. Each module of this package holds commands of one kind: arguments
and how results look. Heavy imports are in the commands' bodies: ``lake`` must start fast for those
who do not stream.
"""

import typer

from lakehouse.cli.output import examples
from streaming.cli.look import dlq_replay, dlq_show, status
from streaming.cli.run import run
from streaming.cli.send import produce, replay


def register(app: typer.Typer) -> None:
    """Add the commands."""
    stream = typer.Typer(help="Minutes of sensor readings from Kafka.", no_args_is_help=True)
    stream.command(epilog=examples("lake stream run", "lake stream run climate"))(run)
    stream.command(
        epilog=examples(
            "lake stream produce", "lake stream produce climate --rate 1000 --seconds 60 --clean"
        )
    )(produce)
    stream.command(epilog=examples("lake stream replay readings.jsonl climate --speed 60x"))(replay)
    stream.command(epilog=examples("lake stream status"))(status)
    dlq = typer.Typer(help="Records that were rejected.", no_args_is_help=True)
    dlq.command(name="show", epilog=examples("lake stream dlq show --reason missing_key"))(dlq_show)
    dlq.command(name="replay", epilog=examples("lake stream dlq replay --rekey --dry-run"))(
        dlq_replay
    )
    stream.add_typer(dlq, name="dlq")
    app.add_typer(stream, name="stream")
