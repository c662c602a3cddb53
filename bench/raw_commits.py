"""What a hundred thousand commits cost beside a hundred: ``python -m bench.raw_commits``.

Two raw layers are made from one table of so many rows, 300 commits a day: one with few commits and
one with many. Both are measured in turn, as whole processes (an idle ``lake extract``, ``lake
status``) or in this one (the freeze of a dbt run), and printed as ratios.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import machine, median, row, run
from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from lakehouse.dbt import freeze, run_notes
from lakehouse.publishing.publish import publish
from lakehouse.raw import RawTable
from lakehouse.raw.chain import FOLLOWS, PREVIOUS, prefix_digests
from lakehouse.raw.commits import FOOTER_KEY
from lakehouse.raw.compacted import FOOTER_KEY as COMPACTION_KEY
from lakehouse.raw.compacted import Compaction
from lakehouse.raw.names import COMPACTED_PREFIX, day_folder, new_batch_id
from lakehouse.settings import Settings

LAKE = Path(sys.executable).with_name("lake")
A_DAY = 300
SOURCES = """
sources:
  - name: shop
    schema: public
    tables:
      - {name: events, primary_key: [id], cursor: updated_at, lookback: 1h, deletes: reconcile}
"""


def make_layer(
    root: Path, server: EmbeddedPostgres, commits: int, rows: int, *, compacted: bool
) -> Settings:
    """A root whose raw layer holds so many commits of a table of so many rows."""
    settings = Settings(root=root)
    database = f"events_{commits}_{compacted}".lower()
    with psycopg.connect(server.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(f"create database {database}".encode())
    dsn = server.dsn(SUPERUSER, database)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "create table events (id bigint primary key, label text, updated_at timestamptz);"
            "create index on events (updated_at);"
            "insert into events select i, 'label ' || i, now() - interval '1 day' + i * interval"
            f" '100 microseconds' from generate_series(1, {rows}) as i".encode()
        )
    (root / "ingest").mkdir(parents=True)
    (root / "ingest" / "sources.yml").write_text(SOURCES)
    (root / ".env").write_text(f"LAKE_SOURCE_DSN={dsn}\n")
    (root / ".env").chmod(0o600)
    extract(settings)
    split(RawTable(settings.raw_dir, "shop", "events"), commits, compacted=compacted)
    extract(settings)
    publish_commits(settings)
    return settings


def split(table: RawTable, commits: int, *, compacted: bool) -> None:
    """Replace the one commit of a table by many, as if its rows had been landed so."""
    (path,) = table.commits()
    template = table.read(path)
    data = pq.read_table(path, partitioning=None).replace_schema_metadata()
    path.unlink()
    start = datetime.now(UTC).replace(hour=1) - timedelta(days=commits // A_DAY + 2)
    ids = [
        f"{start + timedelta(days=n // A_DAY, seconds=n % A_DAY):%Y%m%dT%H%M%S%f}Z-{n:06x}"
        for n in range(commits)
    ]
    follows = prefix_digests(ids)
    each = data.num_rows // commits
    assert data.num_rows == each * commits
    place = data.schema.get_field_index("_batch_id")
    rows = data.set_column(
        place, data.schema.field(place), pa.array([i for i in ids for _ in range(each)])
    )
    footers = {
        batch_id: replace(
            template,
            batch_id=batch_id,
            kind="incremental",
            rows=each,
            upserts=each,
            watermark_before=template.watermark_after,
            details={
                **template.details,
                FOLLOWS: follows[n],
                PREVIOUS: ids[n - 1] if n else None,
            },
        ).to_json()
        for n, batch_id in enumerate(ids)
    }
    step = A_DAY if compacted else 1
    for n in range(0, commits, step):
        mine = ids[n : n + step]
        name = f"{COMPACTED_PREFIX}{new_batch_id()}" if compacted else mine[0]
        content = Compaction(
            name=name,
            source=table.source,
            table=table.table,
            rows=len(mine) * each,
            footers={batch_id: footers[batch_id] for batch_id in mine},
        )
        key, footer = (
            (COMPACTION_KEY, content.to_json()) if compacted else (FOOTER_KEY, footers[mine[0]])
        )
        target = table.directory / day_folder(mine[0]) / f"{name}.parquet"
        target.parent.mkdir(exist_ok=True)
        with pq.ParquetWriter(target, data.schema, write_page_checksum=True) as writer:
            writer.write(rows.slice(n * each, len(mine) * each))
            writer.add_key_value_metadata({key: footer})
    time.sleep(3)  # what has just changed is listed anew


def extract(settings: Settings) -> float:
    """Seconds of one ``lake extract``."""
    return _lake(settings, "extract")


def status(settings: Settings) -> float:
    """Seconds of one ``lake status``."""
    return _lake(settings, "status")


def _lake(settings: Settings, command: str) -> float:
    root = settings.root
    return run([str(LAKE), command], cwd=root, environment={"LAKE_ROOT": str(root)}).seconds


def publish_commits(settings: Settings) -> None:
    """Freeze and publish, so that ``lake status`` finds a version of all commits."""
    settings.build_dir.mkdir(parents=True)
    with duckdb.connect(str(settings.build_file)) as connection:
        run_notes.ensure_tables(connection)
        _freeze(connection, settings)
        connection.execute("create schema marts; create table marts.one as select 1 as one")
        publish(
            connection, settings, schemas=["marts"], tables=[("marts", "one")], invocation_id="b"
        )


def frozen(settings: Settings) -> float:
    """Seconds to open the build file and freeze the commits of a run with nothing new."""
    started = time.perf_counter()
    with duckdb.connect(str(settings.build_file)) as connection:
        _freeze(connection, settings)
        return time.perf_counter() - started


def _freeze(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    nodes = [
        run_notes.Node("model.lake.base", "model", "main", "base", ["source.lake.shop.events"])
    ]
    begun = run_notes.begin_run(connection, "code")
    freeze.freeze_commits(connection, settings.raw_dir, [("shop", "events")], begun)
    freeze.refuse_vanished_commits(connection, {"base": [("shop", "events")]})
    run_notes.record_lineage(connection, nodes)
    run_notes.start_run(connection, ["model.lake.base"])


MEASURED: Sequence[tuple[str, Callable[[Settings], float]]] = (
    ("idle lake extract", extract),
    ("lake status", status),
    ("freeze of a dbt run", frozen),
)
BOUND = 1.2


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--layout", choices=("files", "compacted"), default="compacted")
    parser.add_argument("--runs", type=int, default=7, help="of each; the medians count")
    options = parser.parse_args()
    print(machine())
    print(f"{options.many:,} commits / {options.few:,}: seconds and their ratio")
    print(f"{'':<38}{'measured':>18}{'bound':>16}  holds")
    with tempfile.TemporaryDirectory(prefix="bench-raw-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(Settings(root=folder / "server")) as server:
            layers = [
                make_layer(
                    folder / str(commits),
                    server,
                    commits,
                    options.many,
                    compacted=options.layout == "compacted",
                )
                for commits in (options.few, options.many)
            ]
            for what, measure in MEASURED:
                pairs = [[measure(each) for each in layers] for _ in range(options.runs)]
                few, many = (median([pair[n] for pair in pairs]) for n in (0, 1))
                measured = f"{many:.3f}/{few:.3f} {many / few:.2f}"
                print(row(what, measured, f"{BOUND}", holds=many / few <= BOUND), flush=True)


if __name__ == "__main__":
    main()
