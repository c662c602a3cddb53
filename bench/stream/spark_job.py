"""Candidate: Spark Structured Streaming doing the same, in an environment of its own.

Imports nothing of this project: it runs under the Python that has pyspark. CPU and memory are the
Java process's, from the first query's start to the last one's end.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

BOUNDS = {"watt": 25_000, "volt": 500, "ampere": 100}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(bootstrap: str, topic: str, events: int, root: str, jars: str) -> None:
    """Read the whole topic, land valid events, and land their minutes."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", ",".join(str(jar) for jar in Path(jars).glob("*.jar")))
        .config("spark.driver.memory", "2g")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    schema = "device_name string, city string, date_time string, " + ", ".join(
        f"{name} double" for name in BOUNDS
    )
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", 200_000)
        .load()
    )
    read = source.select(
        "partition", "offset", f.from_json(f.col("value").cast("string"), schema).alias("r")
    ).select("partition", "offset", "r.*", f.to_timestamp("r.date_time").alias("event_at"))
    valid = read.where("device_name is not null and event_at is not null")
    for name, high in BOUNDS.items():
        valid = valid.where(f.col(name).between(0, high))
    once = valid.withWatermark("event_at", "10 seconds").dropDuplicatesWithinWatermark(
        ["device_name", "event_at"]
    )
    sums = [
        side(name).alias(f"{name}_{side.__name__}")
        for name in BOUNDS
        for side in (f.sum, f.min, f.max)
    ]
    minutes = once.groupBy(f.window("event_at", "1 minute"), "device_name").agg(
        f.count("*").alias("events"), *sums
    )
    cpu, began = cpu_seconds(pid), time.perf_counter()
    queries = [
        frame.writeStream.format("parquet")
        .option("path", f"{root}/{name}")
        .option("checkpointLocation", f"{root}/checkpoint-{name}")
        .outputMode("append")
        .trigger(availableNow=True)
        .start()
        for name, frame in (("events", valid), ("minutes", minutes))
    ]
    for query in queries:
        query.awaitTermination()
    wall = time.perf_counter() - began
    used = cpu_seconds(pid) - cpu
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    result = {
        "events": events,
        "cpu_us_per_event": used / events * 1e6,
        "events_per_second": events / wall,
        "peak_mb": int(peak.group(1)) / 1024 if peak else None,
    }
    sys.stdout.write(json.dumps(result) + "\n")
    spark.stop()


if __name__ == "__main__":
    place, name, count, folder, libraries = sys.argv[1:]
    main(place, name, int(count), folder, libraries)
