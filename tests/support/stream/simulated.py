"""The stream without a broker: records decided and landed as the application does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from streaming.config import MINUTE_US, POWER, StreamConfig
from streaming.events import Event, decoder, parse_time
from streaming.landing import Gathered, Landing
from streaming.readings import Dirt, Reading, readings
from streaming.windows import REJECTED, PartitionWindows

START = parse_time("2026-03-01T12:00:00Z")


@dataclass
class SimulatedPartition:
    """One partition of one instance.

    Args:
        raw_dir: Where it lands.
        config: The stream.
        number: The partition.
        log_id: The topic's identity.
    """

    raw_dir: Path
    config: StreamConfig = POWER
    number: int = 0
    log_id: str = "log-1"
    offset: int = 0
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.landing = Landing(self.raw_dir, self.config, self.log_id)
        self.windows = PartitionWindows(self.config)
        self.decode = decoder(self.config)

    def checkpoint(self, records: list[Reading], *, die_between_files: bool = False) -> None:
        """Decide records and land them; silence after them is looked at."""
        gathered = Gathered()
        gathered.first = self.offset
        for reading in records:
            read = self.decode(reading.value, reading.key, reading.due_us)
            if isinstance(read, Event):
                outcome = self.windows.process(read, reading.due_us, self.offset)
                payload = reading.value if read.keep_payload else None
                row = (self.offset, reading.due_us, outcome, read, reading.key, payload)
                gathered.events.append(row)
            else:
                outcome = REJECTED
                self.windows.observe(reading.due_us)
                rejected = (self.offset, reading.due_us, read, reading.key, reading.value)
                gathered.rejects.append(rejected)
            gathered.last = self.offset
            self.offset += 1
            self.outcomes.append(outcome)
        self.windows.close_silent()
        self._land(gathered, die_between_files)

    def fall_silent(self) -> None:
        """Let every open minute become final by silence."""
        self.windows.tell_silent(self.windows.broker_us + 10 * MINUTE_US)
        self._land(Gathered(), False)

    def _land(self, gathered: Gathered, die_between_files: bool) -> None:
        minutes = [(name, window) for (name, _), window in self.windows.changed.items()]
        if minutes:
            self.landing.land_windows(self.number, minutes, self.offset - 1)
        self.windows.changed.clear()
        if gathered.rows and not die_between_files:
            self.landing.land_events(self.number, gathered)


def some_readings(
    count: int, *, config: StreamConfig = POWER, seed: int = 5, start_us: int = START
) -> list[Reading]:
    """Readings with much dirt, five devices, one every two seconds."""
    dirt = Dirt(duplicate=0.05, late=0.06, missing_time=0.02, garbage=0.02, future=0.01)
    source: Iterator[Reading] = readings(
        config, seed=seed, start_us=start_us, rate=0.5, devices=5, dirt=dirt
    )
    return list(islice(source, count))
