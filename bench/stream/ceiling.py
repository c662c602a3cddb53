"""Candidate: the least that the task can cost here: consume in batches, let DuckDB do the rest.

JSON, validation, deduplication, minute aggregates and landed events, by one SQL statement a batch.
No state to recover, no late ledger, no dead letters, no offsets committed: a bound, no alternative.
"""

import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
from confluent_kafka import Consumer

from bench.stream.workload import Meter

BATCH = 50_000
FIELDS = """{"device_name": "VARCHAR", "date_time": "VARCHAR", "watt": "DOUBLE", "volt": "DOUBLE",
    "ampere": "DOUBLE"}"""
PARSE = f"""
create or replace temp table parsed as
select
    fields.device_name as device,
    try_cast(fields.date_time as timestamptz) as event_at,
    fields.watt,
    fields.volt,
    fields.ampere
from (
    select json_transform(case when json_valid(text) then text end, '{FIELDS}') as fields
    from (select try(decode(value)) as text from batch)
)
where
    fields.device_name is not null
    and event_at is not null
    and fields.watt between 0 and 25000
    and fields.volt between 0 and 500
    and fields.ampere between 0 and 100
"""


def main(bootstrap: str, topic: str, events: int, root: Path) -> None:
    """Read so many records."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"ceiling-{time.time()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    meter = Meter()
    db = duckdb.connect()
    db.execute("set threads = 1")
    db.execute(
        "create table seen (device text, event_at timestamptz, watt double, volt double,"
        " ampere double)"
    )
    root.mkdir(parents=True, exist_ok=True)
    meter.start()
    read = number = 0
    while read < events:
        messages = consumer.consume(min(BATCH, events - read), timeout=5)
        values = [m.value() for m in messages if m.error() is None]
        read += len(values)
        number += 1
        batch = pa.table({"value": pa.array(values, pa.binary())})  # noqa: F841 - read by DuckDB
        db.execute(PARSE)
        db.execute("insert into seen select distinct * from parsed")
        db.execute(f"copy parsed to '{root}/{number}.parquet' (compression zstd)")
    minutes = db.execute(
        """select count(*) from (select device, date_trunc('minute', event_at), count(*), sum(watt),
            min(watt), max(watt), sum(volt), min(volt), max(volt), sum(ampere), min(ampere),
            max(ampere) from (select distinct * from seen) group by 1, 2)"""
    ).fetchall()[0][0]
    consumer.close()
    meter.report(read, minutes=minutes)


if __name__ == "__main__":
    place, name, count, folder = sys.argv[1:]
    main(place, name, int(count), Path(folder))
