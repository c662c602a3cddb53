"""Dead letters as they landed: looking at them, and replaying them after a fix.

A dead letter is produced again only if it is a valid event by now, and only if no event of the same
device and time has landed: so the command can be repeated without harm, and needs no memory.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from lakehouse.raw import RawTable
from lakehouse.settings import Settings
from streaming.config import SECOND_US, StreamConfig
from streaming.events import Decode, Event, decoder
from streaming.landing import SOURCE
from streaming.producer import Message, MessageProducer


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One rejected record.

    Attributes:
        stream: Its stream's name.
        reasons: Why it was rejected.
        broker_at: The broker's timestamp of it (UTC).
        replayed: What it says has landed as an event: it was produced again, and accepted.
    """

    stream: str
    topic: str
    partition: int
    offset: int
    reasons: tuple[str, ...]
    broker_at: datetime
    key: bytes | None
    payload: bytes | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the dead letters that were looked at.

    Attributes:
        produced: Valid by now, produced again.
        landed: Valid by now, and landed already.
        invalid: Still invalid, by reason.
    """

    produced: int
    landed: int
    invalid: Counter[str]


def dead_letters(
    settings: Settings, config: StreamConfig, *, reason: str | None = None, limit: int | None = None
) -> list[DeadLetter]:
    """A stream's dead letters, newest first, each once however often it landed.

    Args:
        settings: The project.
        config: The stream.
        reason: Only those rejected for this reason, among others.
        limit: At most so many.
    """
    files = event_files(settings, config)
    if not files:
        return []
    import duckdb

    with duckdb.connect() as db:
        rows = db.execute(
            """
            select distinct on (log_id, topic, topic_partition, record_offset)
                topic, topic_partition, record_offset, reasons, broker_at, record_key, payload
            from read_parquet(?, union_by_name = true, hive_partitioning = false)
            where outcome = 'rejected' and (? is null or list_contains(split(reasons, ','), ?))
            order by broker_at desc, topic_partition, record_offset
            """
            + (f" limit {int(limit)}" if limit is not None else ""),
            [files, reason, reason],
        ).fetchall()
    letters = [
        DeadLetter(config.name, topic, partition, offset, tuple(reasons.split(",")), *rest)
        for topic, partition, offset, reasons, *rest in rows
    ]
    decode = decoder(config)
    meant = [_event(config, decode, letter, rekey=True) for letter in letters]
    landed = _landed(settings, config, [event for event in meant if isinstance(event, Event)])
    return [
        replace(letter, replayed=isinstance(event, Event) and event[:2] in landed)
        for letter, event in zip(letters, meant, strict=True)
    ]


def replay(
    settings: Settings,
    config: StreamConfig,
    producer: MessageProducer | None,
    *,
    reason: str | None = None,
    rekey: bool = False,
) -> Replayed:
    """Produce the dead letters again that are valid by now.

    Args:
        settings: The project.
        config: The stream.
        producer: Where to; None only counts.
        reason: Only those rejected for this reason, among others.
        rekey: Take the device in the payload as the key of those without a usable key.

    Raises:
        BrokerError: The broker did not acknowledge all.
    """
    decode = decoder(config)
    again: set[tuple[str, int]] = set()
    produced = there = 0
    invalid: Counter[str] = Counter()
    for letter in dead_letters(settings, config, reason=reason):
        key = _device_key(config, letter) if rekey else letter.key
        event = _event(config, decode, letter, rekey=rekey)
        if not isinstance(event, Event):
            invalid.update(event)
        elif letter.replayed or event[:2] in again:
            there += 1
        else:
            again.add(event[:2])
            produced += 1
            if producer is not None:
                value, at_us = letter.payload or b"", event.at_us
                producer.produce(
                    config, Message("replayed", key, value, event.device, at_us, at_us)
                )
    return Replayed(produced, there, invalid)


def _device_key(config: StreamConfig, letter: DeadLetter) -> bytes | None:
    try:
        fields = orjson.loads(letter.payload or b"")
        return str(fields[config.device_field]).encode()
    except (ValueError, KeyError, TypeError):
        return letter.key


def _event(
    config: StreamConfig, decode: Decode, letter: DeadLetter, *, rekey: bool
) -> Event | tuple[str, ...]:
    key = _device_key(config, letter) if rekey else letter.key
    broker_us = int(letter.broker_at.timestamp()) * SECOND_US
    return decode(letter.payload, key, broker_us)


def _landed(
    settings: Settings, config: StreamConfig, events: Sequence[Event]
) -> set[tuple[str, int]]:
    """Device and time of those events that have landed as events."""
    files = event_files(settings, config)
    if not files or not events:
        return set()
    import duckdb

    devices, times = [event.device for event in events], [event.at_us for event in events]
    with duckdb.connect() as db:
        rows = db.execute(
            """
            select distinct device, epoch_us(event_at)
            from read_parquet(?, union_by_name = true, hive_partitioning = false)
            where
                outcome <> 'rejected'
                and (device, epoch_us(event_at)) in (
                    select (unnest(?::varchar[]), unnest(?::bigint[]))
                )
            """,
            [files, devices, times],
        ).fetchall()
    return {(device, at_us) for device, at_us in rows}


def event_files(settings: Settings, config: StreamConfig) -> list[str]:
    """The files that hold a stream's landed records."""
    return RawTable(settings.raw_dir, SOURCE, config.events_table).files()
