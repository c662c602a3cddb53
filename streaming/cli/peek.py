"""``lake stream peek``: what is on a topic."""

from typing import Annotated, Any

import typer

from lakehouse.cli.output import moment_text, print_json
from lakehouse.settings import load_settings
from streaming.cli.common import AsJson, bytes_text, say_embedded

_SHOWN = 76


def peek(
    topic: Annotated[str, typer.Argument(help="Any topic of the broker.")],
    limit: Annotated[int, typer.Option(help="At most so many records.", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the newest records of a topic; nothing is moved by it."""
    from streaming.brokers import open_broker
    from streaming.peek import peek as peek_records

    with open_broker(load_settings(), host=False) as broker:
        say_embedded(broker)
        found = peek_records(broker, topic, limit)
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "partition": record.partition,
                "offset": record.offset,
                "at": record.at,
                "key": bytes_text(record.key),
                "value": bytes_text(record.value),
                "headers": record.headers,
            }
            for record in found
        ]
        print_json(rows)
        return
    if not found:
        typer.echo(f"{topic} holds no records.")
    for record in found:
        place = f"{topic}/{record.partition}/{record.offset}"
        typer.echo(f"{place:<26} {moment_text(record.at)} UTC  {bytes_text(record.key) or ''}")
        value = "no value" if record.value is None else repr(record.value)[2:-1]
        for line in (value, ", ".join(f"{k}={v}" for k, v in record.headers.items())):
            if line:
                typer.echo(f"    {line if len(line) <= _SHOWN else line[: _SHOWN - 3] + '...'}")
