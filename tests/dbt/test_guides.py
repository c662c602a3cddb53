"""The guides are true: their edits are applied to a copy of the project, which is then built.

A guide shows each edit as a file's name in bold and a block below it: a whole new file, or a diff
whose lines are found in the file as they stand.
"""

import re
import shutil
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from support.checkout import LAKE, make_checkout
from support.shop_raw import ShopLake, customer, hours, transaction

from ingest.sources import load_sources
from lakehouse.raw import CommitWriter, RawTable, new_batch_id
from streaming.config import load_streams
from streaming.landing import events_schema

# Each builds the project.
pytestmark = [pytest.mark.slow, pytest.mark.guard]

REPOSITORY = Path(__file__).resolve().parents[2]
EDIT = re.compile(r"^\*\*(\S+)\*\*\n\n```(\w+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
STEP = re.compile(r"(?:^\*\*(\S+)\*\*\n\n)?^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
SUPPLIERS = (
    "insert into shop.suppliers values (1, 'Lamps & Co', 'DE', now(), now()),"
    " (2, '', 'FR', now(), now())",
)
CHANGE = (
    "update shop.suppliers set supplier_name = 'Lamps & Sons', updated_at = now()"
    " where supplier_id = 1"
)
QUERY = re.compile(r"```sql\n(select.*?)```", flags=re.DOTALL)


def read_guide(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


def apply(guide: str, root: Path) -> None:
    """Make the edits of a guide, in order."""
    edits = EDIT.findall(guide)
    assert edits, "the guide shows edits"
    for name, kind, text in edits:
        path = root / name
        if kind == "diff":
            lines = text.splitlines()
            before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
            after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
            content = path.read_text(encoding="utf-8")
            assert content.count(before) == 1, f"{name} has these lines once:\n{before}"
            path.write_text(content.replace(before, after), encoding="utf-8")
        else:
            assert not path.exists(), f"{name} is new"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def query_of(guide: str) -> str:
    (query,) = QUERY.findall(guide)
    return str(query)


@pytest.fixture
def lake(tmp_path: Path) -> ShopLake:
    """A checkout with a copy of the project."""
    root = tmp_path / "root"
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(REPOSITORY / "dbt_project", root / "dbt_project", ignore=ignored)
    (root / "ingest").mkdir()
    shutil.copy(REPOSITORY / "ingest" / "sources.yml", root / "ingest")
    return ShopLake(root, root / "target")


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_rule_decides_about_rows_that_landed_before_it(lake: ShopLake) -> None:
    guide = read_guide("add-a-rule.md")
    numbers = {1: "0123456", 2: "12345", 3: None}
    lake.land("customers", hours(1), [customer(k, phone=phone) for k, phone in numbers.items()])
    # A model that is incremental is built anew, too.
    lake.land("transactions", hours(1), [transaction(1, "0.00", customer_id=2)])
    lake.dbt("build")
    apply(guide, lake.root)
    lake.dbt("build")
    assert lake.query(query_of(guide)) == [(2, "12345", "customer_phone_too_short")]
    assert lake.query("select customer_id, member_kind from marts.dim_customer order by 1") == [
        (1, "known"),
        (2, "inferred"),
        (3, "known"),
        (None, "unknown"),
    ]


def test_a_table_goes_from_the_source_to_staging_and_quarantine(
    pg_dsn: str, tmp_path: Path
) -> None:
    """The guide's statements, commands and edits, in its order."""
    guide = read_guide("add-a-table.md").partition("## Another database")[0]
    checkout = make_checkout(tmp_path / "root", source_dsn=pg_dsn)
    root = checkout.settings.root
    steps = STEP.findall(guide)
    assert [kind for _, kind, _ in steps] == ["", "", "diff", "", "", "diff", "", "sql"]
    for name, kind, text in steps:
        if kind == "diff":
            apply(f"**{name}**\n\n```{kind}\n{text}```", root)
        elif text.startswith("create"):
            execute(pg_dsn, text, *SUPPLIERS)
        elif text.startswith("lake"):
            for command in text.splitlines():
                checkout.run(*[LAKE, *command.split()[1:]])
            if "extract" in text:
                execute(pg_dsn, CHANGE)
                checkout.run(*[LAKE, *command.split()[1:]])
    (spec,) = (s for s in load_sources(checkout.settings) if s.name == "suppliers")
    assert (spec.cursor, spec.primary_key, spec.clock) == (
        "updated_at",
        ("supplier_id",),
        "database",
    )
    lake = ShopLake(root, root / "target")
    assert lake.query(query_of(guide)) == [("suppliers", 3, 1, 1, 1)]
    assert lake.query(
        "select supplier_name, broken_rules from quarantine.quarantine_shop__suppliers"
    ) == [("", "supplier_name_missing")]
    assert lake.query(
        "select supplier_id, supplier_name from staging.stg_shop__suppliers order by 1"
    ) == [(1, "Lamps & Sons"), (2, "")]


def test_a_stream_is_counted_with_its_models_and_no_others_changed(lake: ShopLake) -> None:
    guide = read_guide("add-a-stream.md")
    apply(guide, lake.root)
    (stream,) = (s for s in load_streams(lake.settings).values() if s.name == "vibration")
    assert [measure.name for measure in stream.measures] == ["amplitude"]
    schema = events_schema(stream)
    at = hours(1)
    reading = {
        "log_id": "log",
        "topic": stream.topic,
        "topic_partition": 0,
        "broker_at": at,
        "outcome": "accepted",
        "device": "press-7",
        "hall": "north",
        "_op": "upsert",
        "_batch_id": new_batch_id(None),
        "_extracted_at": at,
    }
    rows = [
        {**reading, "record_offset": n, "event_at": at + timedelta(seconds=n), "amplitude": value}
        for n, value in enumerate((Decimal("0.1"), Decimal("0.1"), Decimal("0.2")))
    ]
    raw = RawTable(lake.settings.raw_dir, "stream", stream.events_table)
    with CommitWriter(raw, schema, rows[0]["_batch_id"]) as writer:
        writer.write(pa.Table.from_pylist(rows, schema))
        writer.commit(kind="incremental", writer="test/1", extracted_at=at, upserts=len(rows))
    lake.dbt("build")
    assert lake.query(query_of(guide)) == [("press-7", at, 3, Decimal("0.133333"), False)]
    assert lake.query(
        "select raw_rows, clean_rows from quarantine.accounting_stream"
        " where table_name = 'vibration_events'"
    ) == [(3, 3)]
