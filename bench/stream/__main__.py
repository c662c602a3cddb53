"""Runs all candidates over the same records and prints their ratios.

Usage: ``python -m bench.stream --bootstrap 127.0.0.1:9092 [--events 1000000]
[--spark-python ENV/bin/python --spark-jars FOLDER]``. Spark needs Java 17 and an environment of its
own: ``pip install pyspark==4.0.0`` and, by Maven, ``spark-sql-kafka-0-10_2.13:4.0.0`` without what
pyspark brings.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.stream.workload import fill
from streaming.brokers import Broker

BOUNDS = {
    "CPU, of Spark's": 0.25,
    "memory, of Spark's": 0.2,
    "CPU, of the ceiling's": 2.6,
}
LEAST_OF_TWO = 1.8
LEAST_OF_OLD = 0.9
HOUR = 3600.0
MANY = 50_000
CHECKOUT = Path(__file__).resolve().parents[2]


def start(python: str, arguments: list[str]) -> "subprocess.Popen[str]":
    """Start a candidate; its result is its last line."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "ignore"}
    if python != sys.executable:
        del environment["PYTHONPATH"]
    return subprocess.Popen(
        [python, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """A candidate's result."""
    output, _ = process.communicate()
    if process.returncode or not output.strip():
        raise SystemExit(f"a candidate failed with {process.returncode}: {process.args}")
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def rate_of(instances: list[dict[str, Any]], *, together: bool = False) -> float:
    """Events per second of all instances.

    Args:
        instances: Their results.
        together: Count only while every one of them was reading, without the seconds in which the
            group distributed its partitions; else from the first record to the last.
    """
    firsts = [each["samples"][0][0] for each in instances]
    lasts = [each["samples"][-1][0] for each in instances]
    began, ended = (max(firsts), min(lasts)) if together else (min(firsts), max(lasts))
    read = 0.0
    for each in instances:
        seconds, counts = zip(*each["samples"], strict=True)
        read += np.interp(ended, seconds, counts) - np.interp(began, seconds, counts)
    return float(read / (ended - began))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--pair-events", type=int, help="for two instances; else as many")
    parser.add_argument("--spark-python")
    parser.add_argument("--spark-jars")
    chosen = parser.parse_args()
    tag = f"bench-{time.time_ns()}"
    place, count = chosen.bootstrap, str(chosen.events)
    broker = Broker(bootstrap=place)
    fill(broker, tag, chosen.events)
    old, many = f"{tag}-old", f"{tag}-many"
    fill(broker, old, chosen.events, age=HOUR)
    fill(broker, many, chosen.events // 2, devices=MANY)
    more, pair_count = tag, chosen.pair_events or chosen.events
    if chosen.pair_events:
        more = f"{tag}-pair"
        fill(broker, more, pair_count)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = ["-m", "bench.stream.ours", place, tag, count]
        found["ours"] = result(start(sys.executable, [*ours, f"{folder}/1", f"{tag}-1"]))
        again = ["-m", "bench.stream.ours", place, old, count, f"{folder}/5", f"{tag}-5"]
        found["an hour old"] = result(start(sys.executable, again))
        half = str(chosen.events // 2)
        again = ["-m", "bench.stream.ours", place, many, half, f"{folder}/6", f"{tag}-6"]
        found["50,000 devices"] = result(start(sys.executable, again))
        one = ["-m", "bench.stream.ours", place, more, str(pair_count)]
        alone = result(start(sys.executable, [*one, f"{folder}/7", f"{tag}-7"]))
        pair = [start(sys.executable, [*one, f"{folder}/2", f"{tag}-2"]) for _ in range(2)]
        both = [result(process) for process in pair]
        found["ours, two instances"] = {
            "cpu_us_per_event": sum(r["cpu_us_per_event"] * r["events"] for r in both)
            / sum(r["events"] for r in both),
            "events_per_second": rate_of(both),
            "peak_mb": sum(r["peak_mb"] for r in both),
        }
        found["ours"]["events_per_second"] = rate_of([found["ours"]])
        for name in ("an hour old", "50,000 devices"):
            found[name]["events_per_second"] = rate_of([found[name]])
        paces = (
            rate_of(both, together=True) / rate_of([alone]),
            rate_of(both) / rate_of([alone]),
        )
        ceiling = ["-m", "bench.stream.ceiling", place, tag, count, f"{folder}/3"]
        found["ceiling"] = result(start(sys.executable, ceiling))
        if chosen.spark_python:
            job = [str(Path(__file__).with_name("spark_job.py")), place, tag, count]
            job += [f"{folder}/4", chosen.spark_jars]
            found["spark"] = result(start(chosen.spark_python, job))
    for name, figures in found.items():
        print(
            f"{name:>20}: {figures['cpu_us_per_event']:6.1f} us CPU an event, "
            f"{figures['events_per_second']:8,.0f} events/s, {figures['peak_mb']:6,.0f} MB"
        )
    show_ratios(found, *paces)


def show_ratios(found: dict[str, dict[str, Any]], pace: float, whole: float) -> None:
    """Print what was promised beside what was measured.

    Args:
        found: Each candidate's result.
        pace: Events per second of two instances while both read, of one's.
        whole: The same with the seconds in which the group distributes its partitions.
    """
    ours, ceiling, spark = found["ours"], found["ceiling"], found.get("spark")
    ratios = {"CPU, of the ceiling's": ours["cpu_us_per_event"] / ceiling["cpu_us_per_event"]}
    rate = ours["events_per_second"]
    verdict = "within" if pace >= LEAST_OF_TWO else "MISSED"
    print(f"{'two instances, of one':>24}: {pace:5.2f} (at least {LEAST_OF_TWO}: {verdict})")
    verdict = "within" if whole >= LEAST_OF_TWO else "MISSED"
    print(f"{'joining included':>24}: {whole:5.2f} (at least {LEAST_OF_TWO}: {verdict})")
    share = found["an hour old"]["events_per_second"] / rate
    verdict = "within" if share >= LEAST_OF_OLD else "MISSED"
    print(f"{'an hour old, of fresh':>24}: {share:5.2f} (at least {LEAST_OF_OLD}: {verdict})")
    if spark:
        ratios["CPU, of Spark's"] = ours["cpu_us_per_event"] / spark["cpu_us_per_event"]
        ratios["memory, of Spark's"] = ours["peak_mb"] / spark["peak_mb"]
    for name, ratio in ratios.items():
        verdict = "within" if ratio <= BOUNDS[name] else "MISSED"
        print(f"{name:>24}: {ratio:5.2f} (at most {BOUNDS[name]}: {verdict})")


if __name__ == "__main__":
    main()
