"""The stream without a broker: records decided and landed as the application does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from demo.sensors.readings import Dirt, readings
from streaming.config import MINUTE_US, StreamConfig
from streaming.events import Event, decoder, parse_time
from streaming.landing import Landing
from streaming.producer import Message
from streaming.records import RecordBatch, RejectedRecord
from streaming.windows import REJECTED, PartitionWindows
from support.stream.declared import POWER

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
        self.landing = Landing(self.raw_dir, self.config)
        self.windows = PartitionWindows(self.config)
        self.decode = decoder(self.config)

    def checkpoint(self, messages: list[Message], *, die_between_files: bool = False) -> None:
        """Decide records and land them; silence after them is looked for."""
        batch = RecordBatch()
        for message in messages:
            decoded = self.decode(message.value, message.key, message.due_us)
            place = (self.offset, message.due_us)
            if isinstance(decoded, Event):
                outcome = self.windows.process(decoded, message.due_us, self.offset)
                payload = message.value if decoded.keep_payload else None
                batch.add(*place, outcome, decoded, self.windows.device, payload)
            else:
                outcome = REJECTED
                self.windows.observe(message.due_us)
                batch.reject(RejectedRecord(*place, decoded, message.key, message.value))
            self.offset += 1
            self.outcomes.append(outcome)
        self.windows.close_silent()
        self._land(batch, die_between_files)

    def fall_silent(self) -> None:
        """Let every open window become final by silence."""
        self.windows.emit_silent(self.windows.state.clock.broker_us + 10 * MINUTE_US)
        self._land(RecordBatch(), False)

    def _land(self, batch: RecordBatch, die_between_files: bool) -> None:
        changed = [(name, window) for (name, _), window in self.windows.changed.items()]
        if changed:
            self.landing.land_windows(self.log_id, self.number, changed, self.offset - 1)
        self.windows.changed = {}
        if batch.size and not die_between_files:
            self.landing.land_events(
                self.log_id,
                self.number,
                batch,
                after_offset=batch.first_offset - 1,
                state=self.windows.state,
            )


def some_readings(
    count: int, *, config: StreamConfig = POWER, seed: int = 5, start_us: int = START
) -> list[Message]:
    """Readings with much dirt, five devices, one every two seconds."""
    dirt = Dirt(duplicate=0.05, late=0.06, missing_time=0.02, garbage=0.02, future=0.01)
    source: Iterator[Message] = readings(
        config, seed=seed, start_us=start_us, rate=0.5, devices=5, dirt=dirt
    )
    return list(islice(source, count))
