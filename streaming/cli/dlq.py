"""``lake stream dlq``: what the stream rejected, and replaying it."""

from contextlib import ExitStack
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli.output import moment_text, print_json
from lakehouse.settings import load_settings
from streaming.cli.common import AsJson, Names, bytes_text, chosen_streams

if TYPE_CHECKING:
    from streaming.dead_letters import DeadLetter

_SHOWN = 76
Reason = Annotated[str | None, typer.Option(help="Only those rejected for this reason.")]


def dlq_show(
    names: Names = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(help="At most so many per stream.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show dead letters that have landed, newest first."""
    from streaming.dead_letters import dead_letters

    settings = load_settings()
    found = [
        letter
        for stream in chosen_streams(settings, names)
        for letter in dead_letters(settings, stream, reason=reason, limit=limit)
    ]
    if as_json:
        print_json([_letter(letter) for letter in found])
        return
    if not found:
        typer.echo("No dead letters have landed.")
        return
    for letter in found:
        place = f"{letter.topic}/{letter.partition}/{letter.offset}"
        reasons = ", ".join(letter.reasons)
        mark = "  (replayed)" if letter.replayed else ""
        typer.echo(f"{place:<26} {moment_text(letter.broker_at)} UTC  {reasons}{mark}")
        payload = "no value" if letter.payload is None else repr(letter.payload)[2:-1]
        typer.echo(f"    {payload if len(payload) <= _SHOWN else payload[: _SHOWN - 3] + '...'}")


def dlq_replay(
    names: Names = None,
    reason: Reason = None,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Use the device in the payload as the key.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, produce nothing.")] = False,
) -> None:
    """Produce dead letters again that are valid by now, each once."""
    from streaming.brokers import open_broker
    from streaming.dead_letters import replay as replay_letters
    from streaming.producer import MessageProducer

    settings = load_settings()
    with ExitStack() as stack:
        producer = None
        if not dry_run:
            broker = stack.enter_context(open_broker(settings, host=False))
            producer = stack.enter_context(MessageProducer(broker))
        for stream in chosen_streams(settings, names):
            done = replay_letters(settings, stream, producer, reason=reason, rekey=rekey)
            typer.echo(
                f"{stream.name}: {done.produced:,} {'to produce' if dry_run else 'produced'}, "
                f"{done.landed:,} landed already, {done.invalid.total():,} still invalid"
            )
            causes = ", ".join(f"{name} {count:,}" for name, count in done.invalid.most_common())
            for line in wrap(causes, _SHOWN):
                typer.echo(f"    {line}")


def _letter(letter: "DeadLetter") -> dict[str, Any]:
    return {
        "stream": letter.stream,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reasons": list(letter.reasons),
        "broker_at": letter.broker_at,
        "replayed": letter.replayed,
        "key": bytes_text(letter.key),
        "payload": bytes_text(letter.payload),
    }
