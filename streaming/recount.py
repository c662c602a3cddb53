"""Deciding landed records again, in the order of their offsets: the repair of a contradiction.

A contradiction is a record with two outcomes, or a minute that was told and does not follow from
the records: it can come of an older version of this program, or of files that were set aside or
copied together. Raw is append-only, so what is decided anew lands in new commits, and then the old
ones are set aside, as `lake raw set-aside` does; their bytes stay. Nothing is read from the broker.

Here belongs that repair only. Until it is finished, ``lake stream run`` does not start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import LakeError
from lakehouse.files import fsync_dir, write_text_atomically
from lakehouse.progress import Advance
from lakehouse.raw import RawTable
from lakehouse.raw.verify import set_aside
from lakehouse.settings import Settings
from streaming.config import MICRO, StreamConfig
from streaming.dead_letters import event_files
from streaming.events import Event
from streaming.landing import Landing
from streaming.memory import Footers
from streaming.records import RecordBatch, RejectedRecord
from streaming.windows import REJECTED, PartitionWindows

_BATCH_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Recounted:
    """What a recount found.

    Attributes:
        records: Records decided again.
        repeated: Rows beyond one for each record.
        changed: Records whose outcome is another one now, or was told in two ways.
        set_aside: Files that no reader sees any more.
    """

    records: int
    repeated: int
    changed: int
    set_aside: int


def unfinished(settings: Settings, config: StreamConfig) -> Path:
    """A file that stands while a stream is recounted."""
    return settings.state_dir / "stream" / f"recount-{config.name}"


def refuse_unfinished(settings: Settings, streams: Sequence[StreamConfig]) -> None:
    """See that no recount was interrupted.

    Raises:
        LakeError: One was.
    """
    for config in streams:
        if unfinished(settings, config).exists():
            raise LakeError(
                f"a recount of {config.name} was interrupted",
                f"run `lake stream recount {config.name}` again: it begins anew",
            )


def recount(settings: Settings, config: StreamConfig, advance: Advance) -> Recounted:
    """Decide all landed records of a stream again; no instance may run.

    Args:
        settings: The project.
        config: The stream.
        advance: Told of each record.

    Raises:
        LakeError: The disk is full or refuses; run it again.
    """
    landing = Landing(settings.raw_dir, config)
    before = [*data_files(landing.events), *data_files(landing.windows)]
    files = event_files(settings, config)
    if not files:
        return Recounted(0, 0, 0, 0)
    note = unfinished(settings, config)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(note, "")
    stamped = {
        (details["log_id"], details["partition"]): bool(details["stamped"])
        for _, details in Footers(landing.events).newest_first()
    }
    records = repeated = changed = 0
    for log_id, partition in _partitions(files):
        each = _Partition(landing, config, log_id, partition, stamped[(log_id, partition)])
        for row in _rows(config, files, log_id, partition):
            each.decide(row)
            advance.advance(1)
        each.land()
        records, repeated = records + each.records, repeated + each.repeated
        changed += each.changed
    for path in before:
        set_aside(settings.raw_dir, path.stem)
    note.unlink()
    fsync_dir(note.parent)
    return Recounted(records, repeated, changed, len(before))


class _Partition:
    """One partition of one topic, decided from its first landed record on."""

    def __init__(
        self, landing: Landing, config: StreamConfig, log_id: str, number: int, stamped: bool
    ) -> None:
        self.records = self.repeated = self.changed = 0
        self._landing, self._config = landing, config
        self._log_id, self._number, self._stamped = log_id, number, stamped
        self._windows = PartitionWindows(config)
        self._batch = RecordBatch()
        self._batch.stamped = stamped
        self._last = self._landed = -1
        self._outcome = ""
        self._told: set[str] = set()

    def decide(self, row: dict[str, Any]) -> None:
        """Take the next row, in the order of offsets."""
        offset, broker_us = row["record_offset"], row["broker_us"]
        if offset == self._last:
            self.repeated += 1
            self._told.add(row["outcome"])
            return
        self._count_changed()
        self._last, self._told = offset, {row["outcome"]}
        if self._batch.size >= _BATCH_ROWS:
            self.land()
        self.records += 1
        if row["outcome"] == REJECTED:
            self._windows.observe(broker_us, stamped=self._stamped)
            reasons = tuple(row["reasons"].split(","))
            record = RejectedRecord(offset, broker_us, reasons, row["record_key"], row["payload"])
            self._batch.reject(record)
            self._outcome = REJECTED
            return
        event = Event(
            row["device"],
            row["at_us"],
            tuple(int(row[measure.name] * MICRO) for measure in self._config.measures),
            tuple(row[name] for name in self._config.attributes),
            row["payload"] is not None,
        )
        self._outcome = self._windows.process(event, broker_us, offset, stamped=self._stamped)
        device = self._windows.device
        self._batch.add(offset, broker_us, self._outcome, event, device, row["payload"])

    def land(self) -> None:
        """Land what has been decided."""
        self._count_changed()
        if not self._batch.size:
            return
        self._windows.close_silent()
        changed = [(name, window) for (name, _), window in self._windows.changed.items()]
        if changed:
            self._landing.land_windows(self._log_id, self._number, changed, self._last)
        self._windows.changed, self._windows.to_emit = {}, []
        self._landing.land_events(
            self._log_id,
            self._number,
            self._batch,
            after_offset=self._landed,
            state=self._windows.state,
        )
        self._landed = self._last
        self._batch = RecordBatch()
        self._batch.stamped = self._stamped

    def _count_changed(self) -> None:
        if self._told - {self._outcome}:
            self.changed += 1
        self._told = set()


def data_files(table: RawTable) -> list[Path]:
    """Every file of a table that a reader may open."""
    found = table.directory.glob("load_date=*/*.parquet")
    return sorted(path for path in found if not path.name.startswith("."))


def _partitions(files: Sequence[str]) -> list[tuple[str, int]]:
    import duckdb

    with duckdb.connect() as db:
        return db.execute(
            """select distinct log_id, topic_partition
            from read_parquet(?, union_by_name = true, hive_partitioning = false)
            order by all""",
            [list(files)],
        ).fetchall()


def _rows(
    config: StreamConfig, files: Sequence[str], log_id: str, partition: int
) -> Iterator[dict[str, Any]]:
    import duckdb

    names = [measure.name for measure in config.measures] + list(config.attributes)
    quoted = "".join(f', "{name}"' for name in names)
    with duckdb.connect() as db:
        found = db.execute(
            f"""select record_offset, epoch_us(broker_at) as broker_us, outcome, reasons, device,
                epoch_us(event_at) as at_us, record_key, payload {quoted}
            from read_parquet(?, union_by_name = true, hive_partitioning = false)
            where log_id = ? and topic_partition = ?
            order by record_offset, outcome = 'rejected', _extracted_at, _batch_id""",
            [list(files), log_id, partition],
        )
        columns = [column[0] for column in found.description]
        while rows := found.fetchmany(10_000):
            for row in rows:
                yield dict(zip(columns, row, strict=True))
