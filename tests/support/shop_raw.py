"""Raw commits of the shop written by hand, and the real dbt project built over them.

Here belongs what tests of the models need: rows with defaults, commits at a chosen time, a scratch
checkout that uses the project's own folder, and comparing two warehouses.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.raw import CommitWriter, RawTable, new_batch_id, raw_schema
from lakehouse.settings import Settings

PROJECT = Path(
    os.environ.get("LAKE_TEST_PROJECT") or Path(__file__).resolve().parents[2] / "dbt_project"
)
"""The project under test; ``tests/mutants.py`` names a copy with a mistake in it."""
DBT = Path(sys.executable).with_name("dbt")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)

Row = Mapping[str, Any]

_TIME = pa.timestamp("us", tz="UTC")
_MONEY = pa.decimal128(12, 2)
_STAMPS = [("created_at", _TIME), ("updated_at", _TIME)]
SCHEMAS = {
    "customers": raw_schema(
        pa.schema(
            [
                ("customer_id", pa.int64()),
                *((name, pa.string()) for name in ("first_name", "last_name", "email", "phone")),
                *((name, pa.string()) for name in ("street", "postal_code", "city")),
                *((name, pa.string()) for name in ("country_code", "segment")),
                *_STAMPS,
            ]
        )
    ),
    "products": raw_schema(
        pa.schema(
            [
                ("product_id", pa.int64()),
                *((name, pa.string()) for name in ("sku", "product_name", "category")),
                ("unit_price", _MONEY),
                ("is_active", pa.bool_()),
                *_STAMPS,
            ]
        )
    ),
    "campaigns": raw_schema(
        pa.schema(
            [
                ("campaign_id", pa.int64()),
                ("campaign_name", pa.string()),
                ("channel", pa.string()),
                ("discount_rate", pa.decimal128(5, 4)),
                ("starts_on", pa.date32()),
                ("ends_on", pa.date32()),
                *_STAMPS,
            ]
        )
    ),
    "transactions": raw_schema(
        pa.schema(
            [
                ("transaction_id", pa.int64()),
                ("customer_id", pa.int64()),
                ("campaign_id", pa.int64()),
                ("sold_at", _TIME),
                ("status", pa.string()),
                ("payment_method", pa.string()),
                ("total_amount", _MONEY),
                *_STAMPS,
            ]
        )
    ),
    "transaction_items": raw_schema(
        pa.schema(
            [
                ("transaction_item_id", pa.int64()),
                ("transaction_id", pa.int64()),
                ("line_number", pa.int32()),
                ("product_id", pa.int64()),
                ("quantity", pa.int32()),
                *((n, _MONEY) for n in ("unit_price", "discount_amount", "line_amount")),
                *_STAMPS,
            ]
        )
    ),
}
KEYS = {
    "customers": "customer_id",
    "products": "product_id",
    "campaigns": "campaign_id",
    "transactions": "transaction_id",
    "transaction_items": "transaction_item_id",
}


def hours(number: float) -> datetime:
    """The instant that many hours after the history begins."""
    return START + timedelta(hours=number)


def customer(customer_id: int | None, **columns: object) -> Row:
    """A customer that breaks no rule."""
    return {
        "customer_id": customer_id,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": f"c{customer_id}@example.org",
        "phone": None,
        "street": "1 High Street",
        "postal_code": "01067",
        "city": "Dresden",
        "country_code": "DE",
        "segment": "consumer",
        "created_at": hours(-5000),
        "updated_at": hours(-1),
        **columns,
    }


def product(product_id: int, **columns: object) -> Row:
    """A product that breaks no rule."""
    return {
        "product_id": product_id,
        "sku": f"SKU-{product_id}",
        "product_name": "Lamp",
        "category": "Home",
        "unit_price": Decimal("10.00"),
        "is_active": True,
        "created_at": hours(-5000),
        "updated_at": hours(-1),
        **columns,
    }


def campaign(campaign_id: int, **columns: object) -> Row:
    """A campaign that breaks no rule."""
    return {
        "campaign_id": campaign_id,
        "campaign_name": "Spring",
        "channel": "email",
        "discount_rate": Decimal("0.1000"),
        "starts_on": date(2026, 3, 1),
        "ends_on": date(2026, 3, 31),
        "created_at": hours(-5000),
        "updated_at": hours(-1),
        **columns,
    }


def transaction(transaction_id: int, total: str, **columns: object) -> Row:
    """A transaction that breaks no rule, if its items add up to the total."""
    return {
        "transaction_id": transaction_id,
        "customer_id": 1,
        "campaign_id": None,
        "sold_at": hours(0),
        "status": "completed",
        "payment_method": "card",
        "total_amount": Decimal(total),
        "created_at": hours(0),
        "updated_at": hours(0),
        **columns,
    }


def item(item_id: int | None, transaction_id: int | None, **columns: object) -> Row:
    """An item of one piece at 10.00 that breaks no rule."""
    return {
        "transaction_item_id": item_id,
        "transaction_id": transaction_id,
        "line_number": 1,
        "product_id": 1,
        "quantity": 1,
        "unit_price": Decimal("10.00"),
        "discount_amount": Decimal("0.00"),
        "line_amount": Decimal("10.00"),
        "created_at": hours(0),
        "updated_at": hours(0),
        **columns,
    }


@dataclass(frozen=True, slots=True)
class ShopLake:
    """A scratch checkout whose dbt project is the real one, or a copy of it.

    Attributes:
        root: Its folder.
        target: dbt's own folder; a shared one saves parsing the project again.
    """

    root: Path
    target: Path

    @property
    def settings(self) -> Settings:
        return Settings(root=self.root)

    def land(
        self,
        table: str,
        at: datetime,
        rows: Iterable[Row] = (),
        *,
        deleted: Sequence[int | None] = (),
    ) -> str:
        """Land one commit of rows and tombstones, seen at this time; returns its batch id."""
        schema = SCHEMAS[table]
        raw = RawTable(self.settings.raw_dir, "shop", table)
        commits = raw.commits()
        batch_id = new_batch_id(commits[-1].stem if commits else None)
        meta = {"_batch_id": batch_id, "_extracted_at": at}
        upserts = [{**row, **meta, "_op": "upsert"} for row in rows]
        deletes = [{KEYS[table]: key, **meta, "_op": "delete"} for key in deleted]
        with CommitWriter(raw, schema, batch_id) as writer:
            writer.write(pa.Table.from_pylist([*deletes, *upserts], schema))
            writer.commit(
                kind="incremental",
                writer="test/1",
                extracted_at=at,
                upserts=len(upserts),
                deletes=len(deletes),
            )
        return batch_id

    def dbt(self, *arguments: str, fails: bool = False) -> str:
        """Run dbt on this checkout's project and data; returns what it printed."""
        project = (self.root / "dbt_project").resolve()
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("LAKE_", "DBT_"))},
            "LAKE_ROOT": str(self.root),
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.root / "logs"),
        }
        done = subprocess.run(
            [str(DBT), "--no-use-colors", *arguments, "--project-dir", str(project)],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert bool(done.returncode) == fails, done.stdout[-8000:] + done.stderr[-4000:]
        return done.stdout

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the build file; only between runs of dbt."""
        with duckdb.connect(str(self.settings.build_file), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()


def make_shop_lake(root: Path, *, target: Path | None = None) -> ShopLake:
    """An empty checkout at this folder, with the real project linked into it."""
    root.mkdir(parents=True)
    (root / "dbt_project").symlink_to(PROJECT)
    return ShopLake(root, target or root / "target")


def differences(one: ShopLake, other: ShopLake) -> dict[str, int]:
    """Tables of models in which two build files differ, with the number of rows in only one.

    Every schema but that of the runs is compared, columns, types and rows as multisets. Views are
    left out: each is a function of the tables.
    """
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, lake in (("one", one), ("other", other)):
            connection.execute(f"attach '{lake.settings.build_file}' as {name} (read_only)")
        tables = connection.execute(
            "select schema_name || '.' || table_name, count(distinct signature), count(*) from ("
            " select database_name, schema_name, table_name,"
            "  list((column_name, data_type) order by column_index)::varchar as signature"
            " from duckdb_columns() inner join duckdb_tables()"
            "  using (database_name, schema_name, table_name)"
            "  where database_name in ('one', 'other')"
            "  and schema_name not in ('ops', 'main') and not duckdb_tables.internal group by all"
            ") group by all"
        ).fetchall()
        assert len(tables) > 20, "the warehouses hold the models"
        found: dict[str, int] = {}
        for table, signatures, databases in tables:
            if (signatures, databases) != (1, 2):
                found[table] = -1
                continue
            count = connection.execute(
                f"select count(*) from ((from one.{table} except all from other.{table})"
                f" union all (from other.{table} except all from one.{table}))"
            ).fetchall()[0][0]
            if count:
                found[table] = count
    return found
