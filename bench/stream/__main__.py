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
    "CPU, of Spark's": 0.45,
    "memory, of Spark's": 0.2,
    "CPU, of the ceiling's": 8.0,
}
LEAST_OF_TWO = 1.8
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
    parser.add_argument("--spark-python")
    parser.add_argument("--spark-jars")
    chosen = parser.parse_args()
    tag = f"bench-{time.time_ns()}"
    place, count = chosen.bootstrap, str(chosen.events)
    fill(Broker(bootstrap=place), tag, chosen.events)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = ["-m", "bench.stream.ours", place, tag, count]
        found["ours"] = result(start(sys.executable, [*ours, f"{folder}/1", f"{tag}-1"]))
        pair = [start(sys.executable, [*ours, f"{folder}/2", f"{tag}-2"]) for _ in range(2)]
        both = [result(process) for process in pair]
        found["ours, two instances"] = {
            "cpu_us_per_event": sum(r["cpu_us_per_event"] * r["events"] for r in both)
            / sum(r["events"] for r in both),
            "events_per_second": rate_of(both),
            "peak_mb": sum(r["peak_mb"] for r in both),
        }
        found["ours"]["events_per_second"] = rate_of([found["ours"]])
        pace = rate_of(both, together=True) / found["ours"]["events_per_second"]
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
    show_ratios(found, pace)


def show_ratios(found: dict[str, dict[str, Any]], pace: float) -> None:
    """Print what was promised beside what was measured.

    Args:
        found: Each candidate's result.
        pace: Events per second of two instances while both read, of one's.
    """
    ours, ceiling, spark = found["ours"], found["ceiling"], found.get("spark")
    ratios = {"CPU, of the ceiling's": ours["cpu_us_per_event"] / ceiling["cpu_us_per_event"]}
    whole = found["ours, two instances"]["events_per_second"] / ours["events_per_second"]
    verdict = "within" if pace >= LEAST_OF_TWO else "MISSED"
    print(f"{'two instances, of one':>24}: {pace:5.2f} (at least {LEAST_OF_TWO}: {verdict})")
    print(f"{'joining included':>24}: {whole:5.2f}")
    if spark:
        ratios["CPU, of Spark's"] = ours["cpu_us_per_event"] / spark["cpu_us_per_event"]
        ratios["memory, of Spark's"] = ours["peak_mb"] / spark["peak_mb"]
    for name, ratio in ratios.items():
        verdict = "within" if ratio <= BOUNDS[name] else "MISSED"
        print(f"{name:>24}: {ratio:5.2f} (at most {BOUNDS[name]}: {verdict})")


if __name__ == "__main__":
    main()
