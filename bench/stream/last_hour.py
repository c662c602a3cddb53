"""How long a query over the last hour takes on ten million events, in a file as it is published.

Usage: ``python -m bench.stream.last_hour [--events 10000000]``. The file has the columns, the
storage version and the order of ``marts.fct_power_reading``: builds one after the other,
each sorted by time, with one event in fifty up to an hour late.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import duckdb

from bench.measure import machine, row
from lakehouse.publishing.content import STORAGE_VERSION

BOUND_MS = 200
PER_SECOND = 50
BUILD_MINUTES = 10
ROUNDS = 20

_EVENTS = f"""
create table published.fct_power_reading as
with

arrivals as (

    select
        range as number,
        timestamptz '2026-03-01 00:00:00+00' + to_microseconds(
            range * {1_000_000 // PER_SECOND}
        ) as broker_at,
        hash(range) as chance
    from range($events)

)

select
    'power-' || lpad((number % 100)::varchar, 3, '0') as device,
    broker_at - case
        when chance % 50 = 0 then to_seconds((600 + chance % 3000)::bigint) else to_seconds(1)
    end as event_at,
    'Oslo' as city,
    (chance % 3680000000 / 1e6)::decimal(18, 6) as watt,
    (218 + chance % 24000 / 1e3)::decimal(18, 6) as volt,
    (chance % 16000000 / 1e6)::decimal(18, 6) as ampere,
    chance % 50 = 0 as is_late,
    0::bigint as duplicate_count,
    broker_at,
    'log-1' as log_id,
    'sensor_topic' as topic,
    (number % 4)::integer as topic_partition,
    number // 4 as record_offset,
    broker_at as _extracted_at,
    strftime(time_bucket(interval '{BUILD_MINUTES}' minute, broker_at), '%Y%m%dT%H%M') as _batch_id
from arrivals
order by _batch_id, event_at, device
"""

QUERIES = {
    "per device: count, mean, peak": """
        select device, count(*), avg(watt), max(watt) from published.fct_power_reading
        where event_at >= timestamptz '{since}' group by device""",
    "five minutes of each device": """
        select device, time_bucket(interval 5 minute, event_at) as window_start, avg(volt)
        from published.fct_power_reading
        where event_at >= timestamptz '{since}' group by all""",
    "since an hour before the newest": """
        select count(*), sum(watt) from published.fct_power_reading
        where event_at >= (
            select max(event_at) - interval 1 hour from published.fct_power_reading)""",
}


def main() -> int:
    """Measure and print; 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream.last_hour")
    parser.add_argument("--events", type=int, default=10_000_000)
    events = parser.parse_args().events
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "published.duckdb"
        with duckdb.connect() as db:
            db.execute("set TimeZone = 'UTC'")
            db.execute(f"attach '{path}' as published (storage_version '{STORAGE_VERSION}')")
            db.execute(_EVENTS, {"events": events})
        print(f"{events:,} events, {path.stat().st_size / 2**20:,.0f} MiB")
        held = [_measure(path, *query) for query in QUERIES.items()]
        return 0 if all(held) else 1


def _measure(path: Path, name: str, template: str) -> bool:
    times = []
    for _ in range(ROUNDS):
        # A new connection each time, as a dashboard's request would make.
        with duckdb.connect() as db:
            db.execute("set TimeZone = 'UTC'")
            db.execute(f"attach '{path}' as published (read_only)")
            newest = db.execute("select max(event_at) from published.fct_power_reading").fetchall()[
                0
            ][0]
            query = template.format(since=newest - timedelta(hours=1))
            started = time.perf_counter()
            db.execute(query).fetchall()
            times.append((time.perf_counter() - started) * 1000)
            plan = db.execute(f"explain (analyze, format json) {query}").fetchall()[0][1]
    scanned = json.loads(plan)["query"]
    groups = f"{scanned['total_row_groups_scanned']} of {scanned['total_row_groups_to_scan']}"
    holds = max(times) < BOUND_MS
    print(row(name, f"{statistics.median(times):.1f} ms", f"{BOUND_MS} ms", holds=holds))
    print(f"  slowest of {ROUNDS} {max(times):.1f} ms, row groups scanned {groups}")
    return holds


if __name__ == "__main__":
    sys.exit(main())
