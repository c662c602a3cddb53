"""``lake stream status`` and ``dlq``: how far the stream is, and what it rejected."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli.output import make_console, moment_text, print_json, print_table
from lakehouse.settings import load_settings
from streaming.cli.common import AsJson, Group, Names, chosen_streams, say_embedded

if TYPE_CHECKING:
    from streaming.dead_letters import DeadLetter

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
    rows = [
        [
            f"{letter.topic}/{letter.partition}/{letter.offset}",
            moment_text(letter.broker_at),
            ", ".join(letter.reasons),
            repr(letter.payload)[2:42] if letter.payload is not None else None,
        ]
        for letter in found
    ]
    columns = dict.fromkeys(("record", "broker time (UTC)", "reasons", "payload"), "left")
    print_table(make_console(), columns, rows)


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
            still = ", ".join(f"{name} {count:,}" for name, count in done.still.most_common())
            typer.echo(
                f"{stream.name}: {done.sent:,} {'to send' if dry_run else 'sent'}, "
                f"{done.landed:,} there already, still invalid: {still or 'none'}"
            )


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
