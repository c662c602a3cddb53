"""``lake stream status``: how far the stream has come."""

import typer

from lakehouse.cli.output import make_console, moment_text, print_json, print_table
from lakehouse.settings import load_settings
from streaming.cli.common import AsJson, Group, chosen_streams, say_embedded


def status(group: Group = "lakehouse", as_json: AsJson = False) -> None:
    """Show offsets, lag and what has landed."""
    from streaming.brokers import open_broker
    from streaming.status import landed_status, partition_status

    settings = load_settings()
    streams = chosen_streams(settings, None)
    with open_broker(settings, host=False) as broker:
        partitions = partition_status(broker, streams, group, settings)
        say_embedded(broker)
    landed = landed_status(settings, streams)
    if as_json:
        print_json({"partitions": partitions, "landed": landed})
        return
    if partitions:
        names = ("partition", "first", "landed to", "committed", "end", "lag")
        columns = {"topic": "left"} | dict.fromkeys(names, "right")
        rows = [
            [p.topic, p.partition, p.first, p.landed, p.committed, p.end, p.lag] for p in partitions
        ]
        print_table(make_console(), columns, rows)
        if gone := sum(p.gone for p in partitions):
            typer.echo(f"{gone:,} records are gone: the broker removed them before they were read.")
        typer.echo()
    else:
        typer.echo("The broker has none of the topics yet. Next: lake stream run\n")
    columns = {"raw table": "left", "commits": "right", "newest (UTC)": "left"}
    print_table(
        make_console(),
        columns,
        [[t.table, t.commits, moment_text(t.newest) if t.newest else None] for t in landed],
    )
