"""How long a record takes from the broker to a durable file, at a steady rate."""

import sys
import threading
import time
from itertools import islice
from pathlib import Path

import duckdb

from bench.stream.workload import bench_stream
from demo.sensors.readings import Dirt, readings
from lakehouse.raw import RawTable
from lakehouse.settings import Settings
from streaming.app import RunOptions, StreamApp
from streaming.brokers import Broker
from streaming.landing import SOURCE
from streaming.producer import MessageProducer, produce_paced
from streaming.topics import ensure_topics


def main(bootstrap: str, topic: str, rate: int, seconds: int, root: Path) -> None:
    """Produce readings as time passes and print the delays of the landed ones as JSON."""
    broker, stream = Broker(bootstrap=bootstrap), bench_stream(topic)
    ensure_topics(broker, [stream])
    app = StreamApp(
        Settings(root=root), broker, [stream], RunOptions(group=topic, stop_when_idle=8.0)
    )

    def produce() -> None:
        time.sleep(5)
        source = readings(
            stream,
            seed=1,
            start_us=time.time_ns() // 1000,
            rate=rate,
            devices=100,
            dirt=Dirt(),
        )
        with MessageProducer(broker) as producer:
            messages = ((stream, each) for each in islice(source, rate * seconds))
            produce_paced(producer, messages, speed=1)

    thread = threading.Thread(target=produce)
    thread.start()
    app.run()
    thread.join()
    sys.stdout.write(delays(root, topic) + "\n")


def delays(root: Path, topic: str) -> str:
    """Quantiles of the time from a record's broker timestamp to its file, seconds, as JSON."""
    paths = RawTable(root / "data" / "raw", SOURCE, bench_stream(topic).events_table).commits()
    # The file's own time is that of its last write, before its rename by milliseconds.
    written = [(str(path), path.stat().st_mtime) for path in paths]
    with duckdb.connect() as db:
        db.execute("create table file (path text, written double)")
        db.executemany("insert into file values (?, ?)", written)
        row = db.execute(
            """
            select to_json({
                'events': count(*),
                'files': count(distinct filename),
                'p50_seconds': round(quantile_cont(written - epoch(broker_at), 0.5), 2),
                'p95_seconds': round(quantile_cont(written - epoch(broker_at), 0.95), 2),
                'max_seconds': round(max(written - epoch(broker_at)), 2)
            })::text
            from read_parquet(?, filename = true, hive_partitioning = false)
            inner join file on path = filename
            """,
            [[path for path, _ in written]],
        ).fetchall()[0]
    return str(row[0])


if __name__ == "__main__":
    place, name, each_second, length, folder = sys.argv[1:]
    main(place, name, int(each_second), int(length), Path(folder))
