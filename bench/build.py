"""What a build costs beside another commit's, on the same raw commits: ``python -m bench.build``.

Both commits are cloned. The demo's shop is landed once and given to both in two parts, the first
load and a business day after it, so that each builds the same day. Printed are the first build, the
day and a build with nothing new by plain ``dbt build``, and the day and the idle build by
``lake build``, each as a ratio to the other commit's ``dbt build``.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import machine, row, run

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of each step of one checkout."""

    first: float
    day: float
    idle: float
    lake_day: float
    lake_idle: float


def clone(folder: Path, commit: str) -> Path:
    """A checkout of a commit with its environment."""
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(folder)], check=True)
    subprocess.run(["git", "checkout", "-q", commit], cwd=folder, check=True)
    subprocess.run(["make", "env"], cwd=folder, check=True, capture_output=True)
    return folder


def land(checkout: Path, scale: str) -> tuple[Path, list[Path]]:
    """Land the shop and a day of it; returns the raw folder and the day's files."""
    lake = str(checkout / ".venv" / "bin" / "lake")
    run([lake, "seed", "--scale", scale], cwd=checkout)
    run([lake, "extract"], cwd=checkout)
    raw = checkout / "data" / "raw"
    first = set(raw.rglob("*.parquet"))
    run([lake, "simulate-day"], cwd=checkout)
    run([lake, "extract"], cwd=checkout)
    return raw, sorted(set(raw.rglob("*.parquet")) - first)


def measure(checkout: Path, raw: Path, day: Sequence[Path], *, has_fast_path: bool) -> Costs:
    """Build the first load, then the day, then nothing; and again by ``lake build``."""
    dbt = [str(checkout / ".venv" / "bin" / "dbt"), "build"]
    lake = [str(checkout / ".venv" / "bin" / "lake"), "build"]
    project, own = checkout / "dbt_project", checkout / "data" / "raw"

    def begin() -> float:
        for folder in (own, checkout / "warehouse" / "build", checkout / "warehouse" / "versions"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(raw, own, ignore=lambda _, names: {n for n in names if n in names_of_day})
        return run(dbt, cwd=project).seconds

    def arrive() -> None:
        for path in day:
            target = own / path.relative_to(raw)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)

    names_of_day = {path.name for path in day}
    first = begin()
    arrive()
    costs = [run(dbt, cwd=project).seconds, run(dbt, cwd=project).seconds]
    if not has_fast_path:
        return Costs(first, *costs, *costs)
    begin()
    arrive()
    return Costs(first, *costs, run(lake, cwd=checkout).seconds, run(lake, cwd=checkout).seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="05af4b0", help="the other commit")
    parser.add_argument("--scale", default="1", help="of the shop; 1 is 40,000 sales")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-build-") as temporary:
        folder = Path(temporary)
        ours, theirs = clone(folder / "ours", "HEAD"), clone(folder / "theirs", options.against)
        landed = clone(folder / "landed", "HEAD")
        raw, day = land(landed, options.scale)
        old = measure(theirs, raw, day, has_fast_path=False)
        new = measure(ours, raw, day, has_fast_path=True)
    print(f"{machine()}, scale {options.scale}, against {options.against}")
    for name, seconds, other, bound in (
        ("first build", new.first, old.first, 0.6),
        ("a day, dbt build", new.day, old.day, 0.7),
        ("nothing new, dbt build", new.idle, old.idle, 0.7),
        ("a day, lake build", new.lake_day, old.day, 0.5),
        ("nothing new, lake build", new.lake_idle, old.idle, 0.2),
    ):
        ratio = seconds / other
        text = f"{seconds:.1f} s, {ratio:.2f} of {other:.1f} s"
        print(row(name, text, f"{bound}", holds=ratio <= bound))


if __name__ == "__main__":
    main()
