"""Where the application's time goes, by part, under Python's own profiler.

Usage: ``python -m bench.stream.where_time_goes BOOTSTRAP [EVENTS]``. The profiler makes every call
dearer, so the shares are rough, and small functions look larger than they are.
"""

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

from bench.stream import ours
from bench.stream.workload import fill
from streaming.brokers import Broker

_PARTS = {
    "deciding a record: JSON, checks, windows": ("streaming/processor.py", "on_records"),
    "landing: Arrow, Parquet, fsync": ("streaming/processor.py", "land"),
    "taking records from librdkafka": ("~", "<method 'consume' of 'cimpl.Consumer' objects>"),
}


def main(bootstrap: str, events: int) -> None:
    """Profile one instance over records of its own and print each part's share."""
    topic = f"profile-{time.time_ns()}"
    fill(Broker(bootstrap=bootstrap), topic, events)
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        profile.enable()
        ours.main(bootstrap, topic, events, Path(folder), topic)
        profile.disable()
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    whole = _seconds(found, ("quixstreams/app.py", "_run_dataframe"))
    shares = {name: _seconds(found, place) / whole for name, place in _PARTS.items()}
    shares["the rest: Quix Streams for each batch, looking at silence, the broker"] = 1 - sum(
        shares.values()
    )
    for name, share in shares.items():
        print(f"{share:6.0%}  {name}")


def _seconds(found: dict[tuple[str, int, str], tuple[float, ...]], place: tuple[str, str]) -> float:
    """Time in a function and all it called."""
    file, name = place
    return sum(row[3] for key, row in found.items() if key[0].endswith(file) and key[2] == name)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300_000)
