"""A history of both streams, landed by the application's own code, and the truth about it.

Here belongs what tests of the stream models need: records with all that goes wrong, commits that
become visible in any order, and the recount of the truth in Python. How a partition decides and
lands is ``support.stream.simulated``.
"""

import copy
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from streaming.config import MICRO, MINUTE_US, StreamConfig
from streaming.events import Event, decoder
from streaming.landing import Landing
from streaming.producer import Message
from streaming.records import RecordBatch
from streaming.window_state import Device, PartitionState
from support.stream.declared import POWER, STREAMS
from support.stream.simulated import START, SimulatedPartition, some_readings

Minute = tuple[str, int]
_RANK = {"accepted": 1, "late": 2, "duplicate": 3}


class SentRecord(NamedTuple):
    """One record of a history: what was sent, where it was, and how it was decided."""

    outcome: str
    log_id: str
    partition: int
    offset: int
    message: Message


@dataclass
class History:
    """What was sent, and the folder in which all of it has landed.

    Attributes:
        raw_dir: A raw layer.
        records: Each stream's records, by its name.
    """

    raw_dir: Path
    records: dict[str, list[SentRecord]] = field(default_factory=dict)

    def commits(self) -> list[Path]:
        """Every commit, in no order that means anything."""
        return sorted(self.raw_dir.rglob("*.parquet"))

    def outcomes(self, stream: StreamConfig) -> Counter[str]:
        """Records by outcome."""
        return Counter(record.outcome for record in self.records[stream.name])

    def minutes(self, stream: StreamConfig) -> dict[Minute, tuple[Any, ...]]:
        """What the marts must say: events, late ones, duplicates, and sum, min, max of measures."""
        decode = decoder(stream)
        events: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
        for outcome, log_id, partition, offset, message in self.records[stream.name]:
            event = decode(message.value, message.key, message.due_us)
            if isinstance(event, Event):
                order = (_RANK[outcome], message.due_us, log_id, partition, offset)
                events.setdefault((event.device, event.at_us), []).append((order, event.values))
        minutes: dict[Minute, list[list[tuple[Any, ...]]]] = {}
        for (device, at_us), said in events.items():
            start = at_us - at_us % MINUTE_US
            minutes.setdefault((device, start), []).append(sorted(said))
        return {minute: _summed(found) for minute, found in minutes.items()}


def _summed(events: Sequence[Sequence[tuple[Any, ...]]]) -> tuple[Any, ...]:
    counting = [said[0] for said in events]
    late = sum(order[0] == _RANK["late"] for order, _ in counting)
    numbers: list[Any] = [len(events), late, sum(len(said) - 1 for said in events)]
    for values in zip(*(values for _, values in counting), strict=True):
        numbers += [Decimal(each) / MICRO for each in (sum(values), min(values), max(values))]
    return tuple(numbers)


def land_history(raw_dir: Path, *, readings: int = 500, seed: int = 3) -> History:
    """Land both streams over two partitions and two logs, with everything that happens to them.

    Duplicates, late events, late events that repeat a counted one, dead letters, a crash after the
    files and one between them, a topic that is made again and gets old readings once more.
    """
    history = History(raw_dir)
    chance = random.Random(seed)
    for stream in STREAMS.values():
        sent = some_readings(readings, config=stream, seed=seed)
        again = [r._replace(due_us=r.due_us + 15 * MINUTE_US) for r in sent[:300:17]]
        sent = sorted([*sent, *again], key=lambda reading: reading.due_us)
        records = history.records[stream.name] = []
        later = [r._replace(due_us=r.due_us + 60 * MINUTE_US) for r in sent[-150:]]
        for log_id, messages in (("log-1", sent), ("log-2", later)):
            for number in (0, 1):
                mine = [r for r in messages if int(r.device[-3:]) % 2 == number]
                partition = SimulatedPartition(raw_dir, stream, number, log_id)
                _land(partition, mine, chance)
                records += [
                    SentRecord(outcome, log_id, number, offset, message)
                    for offset, (outcome, message) in enumerate(
                        zip(partition.outcomes, mine, strict=True)
                    )
                ]
    return history


def _land(partition: SimulatedPartition, records: list[Message], chance: random.Random) -> None:
    place = 0
    while place < len(records):
        size = chance.randint(30, 60)
        crash = chance.choice(["none", "none", "after the files", "between the files"])
        if crash != "none":
            # What is in memory dies; the files stay, and the next attempt draws other boundaries.
            dying = copy.deepcopy(partition)
            dying.checkpoint(
                records[place : place + size], die_between_files=crash == "between the files"
            )
            size = chance.randint(20, 70)
        partition.checkpoint(records[place : place + size])
        place += size
    if partition.number == 0:
        partition.fall_silent()


def reveal(history: History, raw_dir: Path, commits: Iterable[Path]) -> None:
    """Make commits of a history visible in another raw layer."""
    for commit in commits:
        target = raw_dir / commit.relative_to(history.raw_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(commit, target)


def land_days(raw_dir: Path, days: range, *, per_day: int) -> None:
    """Land power readings, two partitions and two commits each day, one in a hundred late."""
    step = 24 * 60 * MINUTE_US // per_day
    values = (1_000_000, 230_000_000, 5_000_000)
    for day in days:
        for number in (0, 1):
            landing = Landing(raw_dir, POWER)
            for half in (0, 1):
                batch = RecordBatch()
                first = (day * 2 + half) * (per_day // 2)
                for offset in range(first, first + per_day // 2):
                    broker_us = START + offset * step + number
                    outcome = "late" if offset % 100 == 0 else "accepted"
                    at_us = broker_us - 60 * MINUTE_US - 7 if outcome == "late" else broker_us
                    event = Event(f"meter-{number}", at_us, values, ("Oslo",), False)
                    device = Device(event.device, broker_us, broker_us)
                    batch.add(offset, broker_us, outcome, event, device, None)
                landing.land_events(
                    "log-1", number, batch, after_offset=first - 1, state=PartitionState()
                )
