"""How fast the spine is: clone to published warehouse, idle runs, the price of publishing.

Run with ``make bench``. Clones the last commit into a temporary folder, so what is measured is
what a stranger gets; the package cache is warm when any environment was made here before.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from bench.measure import machine, median, row, run
from lakehouse.dbt import run_notes
from lakehouse.publishing import list_versions
from lakehouse.publishing.publish import publish
from lakehouse.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
GIGABYTE = 10**9


def measure_demo(clone: Path) -> list[str]:
    """The first and the second ``make demo`` of a clean clone."""
    first = run(["make", "demo"], cwd=clone)
    second = run(["make", "demo"], cwd=clone)
    peak = max(first.peak_bytes, second.peak_bytes) / GIGABYTE
    return [
        row(
            "make demo, clean clone", f"{first.seconds:.1f} s", "120 s", holds=first.seconds <= 120
        ),
        row("make demo, second run", f"{second.seconds:.1f} s", "40 s", holds=second.seconds <= 40),
        row("peak memory, all processes", f"{peak:.2f} GB", "2 GB", holds=peak <= 2),
    ]


def measure_idle_extract(clone: Path, runs: int) -> list[str]:
    """``lake extract`` with nothing to do, the embedded PostgreSQL's start and stop included."""
    lake = str(clone / ".venv" / "bin" / "lake")
    run([lake, "extract"], cwd=clone)
    seconds = median([run([lake, "extract"], cwd=clone).seconds for _ in range(runs)])
    return [row("idle lake extract", f"{seconds:.2f} s", "2 s", holds=seconds <= 2)]


def measure_rollback(clone: Path, runs: int) -> list[str]:
    """``lake rollback`` to the version before and back to the newest, as commands."""
    lake = str(clone / ".venv" / "bin" / "lake")
    newest = list_versions(Settings(root=clone))[0].id
    ways = [run([lake, "rollback", *to], cwd=clone) for _ in range(runs) for to in ([], [newest])]
    seconds = median([way.seconds for way in ways])
    return [row("lake rollback", f"{seconds:.2f} s", "1 s", holds=seconds <= 1)]


def measure_build_with_publishing(clone: Path, runs: int) -> list[str]:
    """A full ``dbt build`` that publishes against the same one that does not, in turn."""
    dbt = [str(clone / ".venv" / "bin" / "dbt"), "build", "--full-refresh"]
    settings = Settings(root=clone)
    ratios = []
    for _ in range(runs):
        # Without earlier versions there is nothing to compare with: every build is copied.
        shutil.rmtree(settings.versions_dir)
        settings.published_file.unlink(missing_ok=True)
        publishing = run(dbt, cwd=clone / "dbt_project")
        plain = run([*dbt, "--vars", "publish: false"], cwd=clone / "dbt_project")
        ratios.append(publishing.seconds / plain.seconds)
    ratio = median(ratios)
    spread = f"{ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return [row("dbt build / without publishing", spread, "1.15", holds=ratio <= 1.15)]


def measure_publishing(folder: Path, rows: int) -> list[str]:
    """A large table of mixed types as a first version, and versions of little change after it."""
    settings = Settings(root=folder)
    settings.build_dir.mkdir(parents=True)
    with duckdb.connect(str(settings.build_file)) as connection:
        run_notes.ensure_tables(connection)
        connection.execute("create schema marts")
        connection.execute(
            f"""
            create table marts.large as
            select
                md5(range::varchar) as sales_key, range as id, hash(range) % 5000 as customer_id,
                (hash(range, 1) % 100000)::decimal(18, 2) / 100 as amount,
                timestamptz '2024-01-01 00:00:00+00' + to_seconds(range % 63072000) as sold_at
            from range({rows})
            """
        )
        first = _publish_run(connection, settings, large_is_replaced=True)
        small = _publish_run(connection, settings)
        connection.execute(
            'create table ops."changes of marts.large" as'
            " select id, (select max(run) + 1 from ops.runs) as _run from marts.large"
            " where id % 100 = 7;"
            "update marts.large set amount = amount + 1 where id % 100 = 7"
        )
        hundredth = _publish_run(connection, settings)
    size = list_versions(settings)[-1].size_bytes / GIGABYTE
    rate = first / size
    return [
        row(f"publishing, {size:.2f} GB", f"{rate:.1f} s/GB", "15 s/GB", holds=rate <= 15),
        row(
            "again, one small table changed / it",
            f"{small / first:.2f}",
            "0.2",
            holds=small <= 0.2 * first,
        ),
        row(
            "again, 1 % of the rows changed / it",
            f"{hundredth / first:.2f}",
            "0.4",
            holds=hundredth <= 0.4 * first,
        ),
    ]


def _publish_run(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *, large_is_replaced: bool = False
) -> float:
    """A run that makes a small table anew and publishes; returns the seconds of publishing."""
    run_number = run_notes.begin_run(connection, "code")
    connection.execute(f"create or replace table marts.small as select {run_number} as run")
    for model, replaced in (("large", large_is_replaced), ("small", True)):
        connection.execute(
            "insert into ops.model_runs by name select $model as model, $run as run,"
            " $run as commits_through, 1 as rebuilt_in, $replaced_in as replaced_in, '' as code",
            {"model": model, "run": run_number, "replaced_in": run_number if replaced else 1},
        )
    connection.execute(
        "insert into ops.commits by name select 'shop' as source_name, 'small' as table_name,"
        " $run::varchar as batch_id, '' as path, false as is_compacted, $run as run,"
        " true as is_present, 1 as row_count, 1 as upserts, 0 as deletes,"
        " get_current_timestamp() as extracted_at",
        {"run": run_number},
    )
    connection.execute("checkpoint")
    started = time.perf_counter()
    publish(
        connection,
        settings,
        schemas=["marts"],
        tables=[("marts", "large"), ("marts", "small")],
        invocation_id="bench",
    )
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and exit non-zero when a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs per figure, the median counts")
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows of the large table")
    arguments = parser.parse_args()
    print(machine())
    print(f"{'':<38}{'measured':>18}{'bound':>16}  holds")
    with tempfile.TemporaryDirectory(prefix="lake-bench-") as name:
        folder = Path(name)
        # The demo's PostgreSQL runs as a user of its own when the benchmark runs as root.
        folder.chmod(0o755)
        clone = folder / "clone"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
        lines = []
        for measured in (
            lambda: measure_demo(clone),
            lambda: measure_idle_extract(clone, arguments.runs),
            lambda: measure_rollback(clone, arguments.runs),
            lambda: measure_build_with_publishing(clone, arguments.runs),
            lambda: measure_publishing(folder / "large", arguments.rows),
        ):
            for line in measured():
                lines.append(line)
                print(line, flush=True)
    if any(line.endswith("NO") for line in lines):
        sys.exit("a bound does not hold on this machine")


if __name__ == "__main__":
    main()
