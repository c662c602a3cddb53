"""``lake stream status`` and ``dlq``: how far the stream is, and what it rejected."""

from contextlib import ExitStack
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli.output import make_console, moment_text, print_json, print_table
from lakehouse.settings import load_settings
from streaming.cli.common import AsJson, Group, Names, chosen_streams, say_embedded

if TYPE_CHECKING:
    from streaming.dead_letters import DeadLetter

_SHOWN = 76
Reason = Annotated[str | None, typer.Option(help="Only those rejected for this reason.")]


def status(group: Group = "lakehouse", as_json: AsJson = False) -> None:
    """Show offsets, lag and what has landed."""
    from streaming.brokers import open_broker
    from streaming.status import landed_status, partition_status

    settings, streams = load_settings(), chosen_streams(None)
    with open_broker(settings, host=False) as broker:
        partitions = partition_status(broker, streams, group)
        say_embedded(broker)
    landed = landed_status(settings, streams)
    if as_json:
        print_json({"partitions": partitions, "landed": landed})
        return
    if partitions:
        columns = {"topic": "left", "partition": "right", "committed": "right", "end": "right"}
        rows = [[p.topic, p.partition, p.committed, p.end, p.lag] for p in partitions]
        print_table(make_console(), columns | {"lag": "right"}, rows)
        typer.echo()
    else:
        typer.echo("The broker has none of the topics yet. Next: lake stream run\n")
    columns = {"raw table": "left", "commits": "right", "newest (UTC)": "left"}
    print_table(
        make_console(),
        columns,
        [[t.table, t.commits, moment_text(t.newest) if t.newest else None] for t in landed],
    )


def dlq_show(
    names: Names = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(help="At most so many per stream.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show rejected records that have landed, newest first."""
    from streaming.dead_letters import dead_letters

    settings = load_settings()
    found = [
        letter
        for stream in chosen_streams(names)
        for letter in dead_letters(settings, stream, reason=reason, limit=limit)
    ]
    if as_json:
        print_json([_letter(letter) for letter in found])
        return
    if not found:
        typer.echo("No rejected records have landed.")
        return
    for letter in found:
        place = f"{letter.topic}/{letter.partition}/{letter.offset}"
        reasons = ", ".join(letter.reasons)
        typer.echo(f"{place:<26} {moment_text(letter.broker_at)} UTC  {reasons}")
        payload = "no value" if letter.payload is None else repr(letter.payload)[2:-1]
        typer.echo(f"    {payload if len(payload) <= _SHOWN else payload[: _SHOWN - 3] + '...'}")


def dlq_replay(
    names: Names = None,
    reason: Reason = None,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Use the device in the payload as the key.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, send nothing.")] = False,
) -> None:
    """Send rejected records again that are valid by now, each once."""
    from streaming.brokers import open_broker
    from streaming.dead_letters import replay as replay_letters
    from streaming.producer import Sender

    settings = load_settings()
    with ExitStack() as stack:
        sender = None
        if not dry_run:
            broker = stack.enter_context(open_broker(settings, host=False))
            sender = stack.enter_context(Sender(broker))
        for stream in chosen_streams(names):
            done = replay_letters(settings, stream, sender, reason=reason, rekey=rekey)
            typer.echo(
                f"{stream.name}: {done.sent:,} {'to send' if dry_run else 'sent'}, "
                f"{done.landed:,} there already, {done.still.total():,} still invalid"
            )
            causes = ", ".join(f"{name} {count:,}" for name, count in done.still.most_common())
            for line in wrap(causes, _SHOWN):
                typer.echo(f"    {line}")


def _letter(letter: "DeadLetter") -> dict[str, Any]:
    texts = {
        name: None if data is None else data.decode("utf-8", "backslashreplace")
        for name, data in (("key", letter.key), ("payload", letter.payload))
    }
    return {
        "stream": letter.stream,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reasons": list(letter.reasons),
        "broker_at": letter.broker_at,
        **texts,
    }
