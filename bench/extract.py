"""How fast extraction is: a first load against a bare reader, idle runs, 500 changed rows.

Run with ``python -m bench.extract``. Each figure is a whole process: imports, connection, commits.
The reader takes ``COPY ... (FORMAT binary)`` of the same table and throws it away, which no client
of PostgreSQL can beat. connectorx is measured beside them where it is installed.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

import psycopg

from bench.measure import Run, machine, median, row, run
from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from lakehouse.settings import Settings

_ORDERS = """
create schema shop;
create table shop.orders (
    id bigint not null, customer_id int not null, product_id int not null, quantity int not null,
    amount numeric(12,2) not null, status text not null, created_at timestamptz not null,
    updated_at timestamptz not null, attributes jsonb not null
);
insert into shop.orders
select g, g % 100000, g % 5000, 1 + g % 9, (g % 100000) / 100.0,
    (array['open', 'paid', 'shipped', 'returned'])[1 + g % 4],
    timestamptz '2024-01-01 00:00+00' + g * interval '10 seconds',
    timestamptz '2024-01-01 00:00+00' + g * interval '10 seconds' + interval '1 hour',
    jsonb_build_object('channel', g % 7)
from generate_series(1, {rows}) g;
alter table shop.orders add primary key (id);
create index on shop.orders (updated_at);
vacuum analyze shop.orders;
"""

_READ = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    with cursor.copy("copy shop.orders to stdout (format binary)") as copy:
        for _ in copy:
            pass
"""

_EXTRACT = """
import sys
from pathlib import Path
from ingest.postgres import extract_tables
from ingest.sources import TableSpec, parse_lookback
from lakehouse.settings import Settings
spec = TableSpec(source="shop", schema="shop", name="orders", primary_key=("id",),
    cursor="updated_at", lookback=parse_lookback("5m"), clock="database")
(report,) = extract_tables(Settings(root=Path(sys.argv[2])), sys.argv[1], [spec])
print(report.upserts)
"""

_CONNECTORX = """
import sys, connectorx
import pyarrow.parquet as pq
table = connectorx.read_sql(sys.argv[1], "select * from shop.orders", return_type="arrow")
pq.write_table(table, sys.argv[2] + "/connectorx.parquet", compression="zstd")
"""


def _python(code: str, *arguments: str) -> Run:
    return run([sys.executable, "-c", code, *arguments], cwd=Path(__file__).resolve().parent.parent)


def measure(dsn: str, folder: Path, rows: int, runs: int) -> list[str]:
    """All figures, in turn, so that a busy machine is unfair to none."""
    reads, loads, others = [], [], []
    for number in range(runs):
        reads.append(_python(_READ, dsn))
        root = folder / f"load{number}"
        loads.append(_python(_EXTRACT, dsn, str(root)))
        assert int(loads[-1].output.split()[-1]) == rows, loads[-1].output
        if importlib.util.find_spec("connectorx"):
            others.append(_python(_CONNECTORX, dsn, str(folder)))
    ratio = median([one.seconds / two.seconds for one, two in zip(loads, reads, strict=True)])
    peak = max(load.peak_bytes for load in loads) / 2**20
    seconds = median([load.seconds for load in loads])
    lines = [
        row(f"first load of {rows:,} rows", f"{seconds:.1f} s", "", holds=True),
        row("  against a bare reader", f"{ratio:.2f}", "1.25", holds=ratio <= 1.25),
        row("  peak memory", f"{peak:.0f} MiB", "200 MiB", holds=peak <= 200),
    ]
    if others:
        faster = median([two.seconds / one.seconds for one, two in zip(loads, others, strict=True)])
        lines.append(row("  connectorx against it", f"{faster:.1f}", "2", holds=faster >= 2))
    root = str(folder / "load0")
    _python(_EXTRACT, dsn, root)
    idle = median([_python(_EXTRACT, dsn, root).seconds for _ in range(runs)])
    lines.append(row("idle run", f"{idle:.2f} s", "0.6 s", holds=idle <= 0.6))
    changes = []
    for number in range(runs):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "update shop.orders set quantity = quantity + 1, updated_at = now() "
                "where id %% %s = %s",
                (rows // 500, number),
            )
        changes.append(_python(_EXTRACT, dsn, root))
    assert int(changes[-1].output.split()[-1]) >= 500, changes[-1].output
    changed = median([change.seconds for change in changes])
    lines.append(row("500 changed rows", f"{changed:.2f} s", "0.6 s", holds=changed <= 0.6))
    return lines


def main() -> None:
    """Measure, print, and exit non-zero when a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the table")
    parser.add_argument("--runs", type=int, default=3, help="runs per figure, the median counts")
    arguments = parser.parse_args()
    print(machine())
    print(f"{'':<38}{'measured':>18}{'bound':>16}  holds")
    with tempfile.TemporaryDirectory(prefix="lake-bench-") as name:
        folder = Path(name)
        # The demo's PostgreSQL runs as a user of its own when the benchmark runs as root.
        folder.chmod(0o755)
        with EmbeddedPostgres(Settings(root=folder)) as server:
            dsn = server.dsn(SUPERUSER, "postgres")
            with psycopg.connect(dsn, autocommit=True) as connection:
                for statement in _ORDERS.format(rows=arguments.rows).split(";"):
                    connection.execute(statement.encode())
            lines = measure(dsn, folder, arguments.rows, arguments.runs)
        print("\n".join(lines))
    if any(line.endswith("NO") for line in lines):
        sys.exit("a bound does not hold on this machine")


if __name__ == "__main__":
    main()
