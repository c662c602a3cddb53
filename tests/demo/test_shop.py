"""The demo shop's schema and its seeded history, on a real PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from support.shop_queries import KEYS, broken, checksums, counts, one, rows

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from demo.postgres.folder import find_binaries
from demo.shop import ShopError, create_schema, seed
from demo.shop.connection import TABLES
from demo.shop.dirt import RULES
from demo.shop.places import COUNTRIES
from demo.shop.seeding import _make
from lakehouse.settings import Settings

UNTIL = date(2026, 3, 1)
CHECKOUT = Path(__file__).resolve().parents[2]


def as_role(dsn: str, role: str) -> str:
    return dsn.replace(f"//{SUPERUSER}@", f"//{role}@")


def schema_dump(dsn: str) -> str:
    dumped = subprocess.run(
        [str(find_binaries() / "pg_dump"), "--schema-only", "--restrict-key=x", dsn],
        capture_output=True,
        text=True,
        check=True,
    )
    return dumped.stdout


# --- schema ---------------------------------------------------------------------------------------


def test_applying_the_schema_again_changes_nothing(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    before = schema_dump(pg_dsn)
    catalog = "select array_agg(oid order by oid)::text from {}"
    ids = [one(pg_dsn, catalog.format(t)) for t in ("pg_class", "pg_trigger", "pg_constraint")]
    create_schema(pg_dsn)
    assert schema_dump(pg_dsn) == before
    again = [one(pg_dsn, catalog.format(t)) for t in ("pg_class", "pg_trigger", "pg_constraint")]
    assert again == ids


def test_seeding_leaves_the_schema_as_it_is(pg_dsn: str) -> None:
    """Foreign keys and indexes are off while rows are loaded."""
    create_schema(pg_dsn)
    before = schema_dump(pg_dsn)
    seed(pg_dsn, scale=0.01, until=UNTIL)
    settings = [line for line in schema_dump(pg_dsn).splitlines() if "setval" not in line]
    assert sorted(settings) == sorted(before.splitlines())
    assert one(pg_dsn, "select bool_and(convalidated) from pg_constraint")


def test_every_cursor_and_foreign_key_has_an_index(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    found = {
        (table, columns.split(","))[0] + ":" + columns
        for table, columns in rows(
            pg_dsn,
            """
            select indrelid::regclass::text, string_agg(attname, ',' order by position)
            from pg_index
            cross join lateral unnest(indkey) with ordinality as key (number, position)
            inner join pg_attribute on attrelid = indrelid and attnum = number
            where indrelid::regclass::text like 'shop.%'
            group by indexrelid, indrelid
            """,
        )
    }
    assert {f"shop.{table}:updated_at,{KEYS[table]}" for table in TABLES} <= found
    foreign = rows(
        pg_dsn,
        """
        select conrelid::regclass::text, attname from pg_constraint
        inner join pg_attribute on attrelid = conrelid and attnum = conkey[1]
        where contype = 'f' and connamespace = 'shop'::regnamespace
        """,
    )
    assert len(foreign) == 4
    for table, column in foreign:
        assert any(index.startswith(f"{table}:{column}") for index in found), (table, column)


def test_extractor_may_read_and_nothing_else(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    extractor = as_role(pg_dsn, "lake_extractor")
    for table in TABLES:
        assert one(extractor, f"select count(*) from shop.{table}") == 0
        for statement in (f"delete from shop.{table}", f"truncate shop.{table}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                rows(extractor, statement)
    for statement in ("update shop.products set sku = ''", "create table shop.mine (n int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(extractor, statement)
    assert one(extractor, "select pg_has_role('pg_read_all_stats', 'usage')")
    rows(as_role(pg_dsn, "shop_owner"), "create table shop.later as select 1 as n")
    assert one(extractor, "select n from shop.later") == 1


def test_extractor_password_comes_from_the_environment(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "select rolpassword from pg_authid where rolname = 'lake_extractor'"
    create_schema(pg_dsn)
    assert one(pg_dsn, password) is None
    monkeypatch.setenv("LAKE_EXTRACTOR_PASSWORD", "it's; a \\secret")
    try:
        create_schema(pg_dsn)
        assert one(pg_dsn, password).startswith("SCRAM-SHA-256$")
    finally:
        rows(pg_dsn, "alter role lake_extractor password null")


@pytest.fixture
def plain_server(server_root: Path) -> Iterator[EmbeddedPostgres]:
    """A server as an administrator finds it: without our roles and database."""
    with EmbeddedPostgres(Settings(root=server_root)) as server:
        admin = server.dsn(SUPERUSER, "postgres")
        rows(admin, "drop database shop_db")
        rows(admin, "drop role lake_extractor")
        rows(admin, "drop role shop_owner")
        yield server


def test_owner_of_a_database_needs_no_superuser(plain_server: EmbeddedPostgres) -> None:
    admin = plain_server.dsn(SUPERUSER, "postgres")
    rows(admin, "create role keeper login createrole")
    rows(admin, "create database own_shop owner keeper")
    dsn = plain_server.dsn("keeper", "own_shop")
    report = seed(dsn, scale=0.01, until=UNTIL)
    assert counts(plain_server.dsn("lake_extractor", "own_shop")) == report.rows
    assert (
        one(dsn, "select tableowner from pg_tables where tablename = 'customers'") == "shop_owner"
    )
    # Nobody but a superuser may give this; the extractor then says that it falls back.
    assert not one(dsn, "select pg_has_role('lake_extractor', 'pg_read_all_stats', 'member')")
    create_schema(dsn)


def test_role_without_rights_is_told(pg_dsn: str) -> None:
    with pytest.raises(ShopError, match=r"lacks a right: .*Next: connect as the database's owner"):
        create_schema(as_role(pg_dsn, "lake_extractor"))


# --- stamps ---------------------------------------------------------------------------------------

_PRODUCT = """
    insert into shop.products (sku, product_name, category, unit_price, created_at, updated_at)
    values (%s, 'Thing', 'Toys', 1, %s, %s)
"""
_STAMPS = "select created_at, updated_at from shop.products where sku = %s"


def test_stamps_of_new_rows(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    given = datetime(2020, 1, 2, tzinfo=UTC)
    with psycopg.connect(pg_dsn) as connection:
        for sku, values in {"a": (None, None), "b": (given, None), "c": (given, given)}.items():
            connection.execute(_PRODUCT, (sku, *values))
        row = connection.execute("select now()").fetchone()
        assert row is not None
        found = {sku: connection.execute(_STAMPS, (sku,)).fetchone() for sku in "abc"}
    assert found == {"a": (row[0], row[0]), "b": (given, row[0]), "c": (given, given)}


def test_stamps_of_a_changed_row_rise_whoever_began_first(pg_dsn: str) -> None:
    """An early transaction that comes to a row late must not carry it back in time."""
    create_schema(pg_dsn)
    rows(pg_dsn, _PRODUCT, "a", None, None)
    change = "update shop.products set unit_price = unit_price + 1 where sku = 'a'"
    with psycopg.connect(pg_dsn) as early:
        early.execute("select 1")
        rows(pg_dsn, change)
        created, between = rows(pg_dsn, _STAMPS, "a")[0]
        early.execute(change.encode())
        begun = early.execute("select now(), updated_at from shop.products").fetchone()
    assert begun is not None
    assert begun[0] < between < begun[1]
    assert rows(pg_dsn, _STAMPS, "a")[0][0] == created


def test_application_cannot_set_the_stamps_of_a_change(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    rows(pg_dsn, _PRODUCT, "a", None, None)
    created, updated = rows(pg_dsn, _STAMPS, "a")[0]
    rows(pg_dsn, "update shop.products set created_at = 'epoch', updated_at = 'epoch'")
    again = rows(pg_dsn, _STAMPS, "a")[0]
    assert again[0] == created
    assert again[1] > updated


def test_row_with_a_stamp_in_the_future_still_rises(pg_dsn: str) -> None:
    create_schema(pg_dsn)
    future = datetime(2999, 1, 1, tzinfo=UTC)
    rows(pg_dsn, _PRODUCT, "a", None, future)
    rows(pg_dsn, "update shop.products set unit_price = 2")
    assert rows(pg_dsn, _STAMPS, "a")[0][1] == future + timedelta(microseconds=1)


# --- seeding --------------------------------------------------------------------------------------


def test_same_seed_and_end_give_the_same_bytes_in_another_process(pg_dsn: str) -> None:
    seed(pg_dsn, seed=7, scale=0.02, until=UNTIL)
    first = checksums(pg_dsn)
    script = (
        "import sys; from datetime import date; from demo.shop import seed;"
        "seed(sys.argv[1], seed=7, scale=0.02, until=date(2026, 3, 1), reset=True)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Pacific/Auckland"}
    command = [sys.executable, "-c", script, pg_dsn]
    subprocess.run(command, check=True, env=environment, cwd=CHECKOUT)
    assert checksums(pg_dsn) == first
    seed(pg_dsn, seed=8, scale=0.02, until=UNTIL, reset=True)
    assert not set(checksums(pg_dsn).values()) & set(first.values())


def test_another_end_moves_dates_and_nothing_else(pg_dsn: str) -> None:
    """Leap days, month ends and clock changes must not show in any sum."""

    def content(until: date) -> list[object]:
        seed(pg_dsn, scale=0.02, until=until, reset=True)
        found: list[object] = []
        for table in TABLES:
            columns = rows(
                pg_dsn,
                "select column_name, data_type from information_schema.columns"
                " where table_schema = 'shop' and table_name = %s order by ordinal_position",
                table,
            )
            parts = [
                f"{name} - date '{until}'" if kind == "date"
                else f"{name} - timestamptz '{until} 00:00Z'" if kind.startswith("timestamp")
                else name
                for name, kind in columns
            ]  # fmt: skip
            query = f"select {', '.join(parts)} from shop.{table} order by {KEYS[table]}"
            found.append(rows(pg_dsn, query))
        return found

    assert content(date(2024, 3, 1)) == content(date(2025, 12, 31))


def test_ground_truth_is_complete_and_nothing_else_is_dirty(pg_dsn: str) -> None:
    report = seed(pg_dsn, seed=3, scale=0.1, until=UNTIL, dirt=0.01)
    assert broken(pg_dsn) == report.dirty_keys
    for rule, table in RULES.items():
        assert report.dirt[table][rule] == len(report.dirty_keys[rule])
        assert len(report.dirty_keys[rule]) == max(1, round(report.rows[table] * 0.01)), rule
    assert counts(pg_dsn) == report.rows


@pytest.mark.parametrize("scale", [0.002, 0.01, 0.05])
def test_small_shops_have_every_kind_of_dirt(pg_dsn: str, scale: float) -> None:
    report = seed(pg_dsn, scale=scale, until=UNTIL)
    assert broken(pg_dsn) == report.dirty_keys
    assert all(report.dirty_keys.values())


def test_without_dirt_every_rule_holds(pg_dsn: str) -> None:
    report = seed(pg_dsn, scale=0.05, until=UNTIL, dirt=0)
    assert set(broken(pg_dsn).values()) == {()}
    assert set(report.dirty_keys.values()) == {()}


def test_full_scale_has_the_promised_volume() -> None:
    tables, truth = _make(42, 1.0, 0.002, 20_000 * 86_400 * 1_000_000)
    volume = {name: table.num_rows for name, table in tables.items()}
    items = volume.pop("transaction_items")
    expected = {"customers": 5_000, "products": 500, "campaigns": 24, "transactions": 40_000}
    assert volume == expected
    assert 97_000 < items < 103_000
    assert truth.counts()["products"] == {"product_price_not_positive": 1}


def test_money_adds_up_to_the_cent(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.1, until=UNTIL)
    wrong = """
        select count(*) from shop.transaction_items
        inner join shop.transactions using (transaction_id)
        left join shop.campaigns using (campaign_id)
        where
            line_amount <> quantity * unit_price - discount_amount
            or quantity > 0 and discount_amount
            <> round(quantity * unit_price * coalesce(discount_rate, 0), 2)
            or unit_price <= 0
    """
    assert one(pg_dsn, wrong) == 0
    assert one(pg_dsn, "select count(*) from shop.transaction_items where discount_amount > 0") > 0


def test_history_lies_where_it_should(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.1, until=UNTIL, dirt=0)
    end = datetime(2026, 3, 1, tzinfo=UTC)
    first, last = rows(pg_dsn, "select min(sold_at), max(sold_at) from shop.transactions")[0]
    assert end - timedelta(days=730) <= first < end - timedelta(days=725)
    assert end - timedelta(days=2) < last < end
    for table in TABLES:
        assert one(pg_dsn, f"select max(updated_at) from shop.{table}") < end
        assert one(pg_dsn, f"select bool_and(updated_at = created_at) from shop.{table}")
    outside = """
        select count(*) from shop.transactions inner join shop.campaigns using (campaign_id)
        where (sold_at at time zone 'UTC')::date not between starts_on and ends_on
    """
    assert one(pg_dsn, outside) == 0
    assert one(pg_dsn, "select max(ends_on) from shop.campaigns") > UNTIL
    before_offer = """
        select count(*) from shop.transaction_items
        inner join shop.transactions using (transaction_id)
        inner join shop.products using (product_id)
        left join shop.campaigns using (campaign_id)
        where sold_at < products.created_at or sold_at < campaigns.created_at
    """
    assert one(pg_dsn, before_offer) == 0
    running = "select count(*) from shop.transactions where created_at < sold_at"
    assert one(pg_dsn, running) == 0


def test_shape_is_that_of_a_shop(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.2, until=UNTIL)
    top_share = """
        select sum(n) filter (where place <= 0.1) / sum(n) from (
            select count(*) as n, percent_rank() over (order by count(*) desc) as place
            from {} group by {}
        ) as buyers
    """
    assert one(pg_dsn, top_share.format("shop.transactions", "customer_id")) > 0.3
    assert one(pg_dsn, top_share.format("shop.transaction_items", "product_id")) > 0.3
    never = """
        select count(*) from shop.customers where not exists
        (select from shop.transactions where transactions.customer_id = customers.customer_id)
    """
    assert one(pg_dsn, never) > 10
    for column, kinds in {"status": 3, "payment_method": 4}.items():
        assert one(pg_dsn, f"select count(distinct {column}) from shop.transactions") == kinds
    pending = "select min(sold_at) from shop.transactions where status = 'pending'"
    assert one(pg_dsn, pending) > datetime(2026, 2, 25, tzinfo=UTC)
    codes = {row[0] for row in rows(pg_dsn, "select distinct country_code from shop.customers")}
    assert codes == {*COUNTRIES, "ZZ"}
    texts = "concat_ws('|', first_name, last_name, street, postal_code, city)"
    assert one(pg_dsn, rf"select count(*) from shop.customers where {texts} ~ '[\n\r\t]'") == 0
    assert one(pg_dsn, "select count(*) from shop.customers where phone is null") > 50


def test_next_generated_keys_follow(pg_dsn: str) -> None:
    report = seed(pg_dsn, scale=0.01, until=UNTIL)
    rows(pg_dsn, _PRODUCT, "new", None, None)
    found = one(pg_dsn, "select product_id from shop.products where sku = 'new'")
    assert found == report.rows["products"] + 1


def test_second_seeding_is_refused_and_reset_starts_over(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.01, until=UNTIL)
    first = checksums(pg_dsn)
    rows(pg_dsn, "update shop.products set unit_price = 1")
    with pytest.raises(ShopError, match=r"already seeded.*`lake simulate-day`.* --reset`"):
        seed(pg_dsn, scale=0.01, until=UNTIL)
    seed(pg_dsn, scale=0.01, until=UNTIL, reset=True)
    assert checksums(pg_dsn) == first


def test_broken_seeding_leaves_nothing(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("demo.shop.seeding.restart_identities", fail)
        with pytest.raises(KeyboardInterrupt):
            seed(pg_dsn, scale=0.01, until=UNTIL)
    assert one(pg_dsn, "select to_regnamespace('shop')") is None
    seed(pg_dsn, scale=0.01, until=UNTIL)


def test_default_end_is_today(pg_dsn: str) -> None:
    before = datetime.now(UTC).date()
    report = seed(pg_dsn, scale=0.01)
    assert before <= report.until <= datetime.now(UTC).date()
    assert one(pg_dsn, "select max(updated_at) <= now() from shop.transactions")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scale": 0}, "scale 0 is not above 0"),
        ({"scale": float("nan")}, "scale nan"),
        ({"dirt": 0.5}, "dirt 0.5 is not between"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"until": date(2999, 1, 1)}, "until 2999-01-01 would not end between"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ShopError, match=said):
        seed("postgresql://127.0.0.1:1/nowhere", **arguments)  # type: ignore[arg-type]


def test_server_that_does_not_answer_is_one_sentence_without_the_password() -> None:
    with pytest.raises(ShopError, match="does not answer") as raised:
        seed("postgresql://someone:hidden@127.0.0.1:1/nowhere", scale=0.01)
    assert "\n" not in str(raised.value)
    assert "hidden" not in str(raised.value)
    with pytest.raises(ShopError) as raised:
        seed("this is no address", scale=0.01)
    assert "\n" not in str(raised.value)


def test_progress_counts_every_row(pg_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = seed(pg_dsn, scale=0.01, until=UNTIL, progress=True)
    assert f"{sum(report.rows.values()):,} rows" in capsys.readouterr().err
