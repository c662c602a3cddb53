"""A simulated business day, on a real PostgreSQL."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from support.shop_queries import KEYS, broken, counts, one, rows

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from demo.shop import ShopError, create_schema, seed, simulate_day
from demo.shop.connection import TABLES
from demo.shop.day import Day, read_day


def snapshot(dsn: str) -> dict[str, dict[int, dict[str, Any]]]:
    return {
        table: {
            row[0]: row[1]
            for row in rows(dsn, f"select {KEYS[table]}, to_jsonb(t) from shop.{table} as t")
        }
        for table in TABLES
    }


def test_report_says_what_happened(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.1)
    before, began = snapshot(pg_dsn), one(pg_dsn, "select now()")
    report = simulate_day(pg_dsn, seed=5)
    after = snapshot(pg_dsn)
    for table in TABLES:
        old, new = before[table], after[table]
        changed = [key for key in old.keys() & new.keys() if old[key] != new[key]]
        found = {
            "inserted": len(new.keys() - old.keys()),
            "updated": len(changed),
            "deleted": len(old.keys() - new.keys()),
        }
        assert found == report.tables[table], table
        # Everything new carries a stamp of the day itself, everything else its old one.
        for key in [*changed, *(new.keys() - old.keys())]:
            assert datetime.fromisoformat(new[key]["updated_at"]) >= began
    today = began.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert report.since == today, "the history ended there"
    assert began <= report.now <= datetime.now(UTC)
    idle = {"campaigns_added"}
    assert all(count > 0 for kind, count in report.counts.items() if kind not in idle), report


def test_sales_lie_between_the_latest_one_and_now_and_late_ones_before(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.1, dirt=0)
    for _ in range(3):
        known = one(pg_dsn, "select max(transaction_id) from shop.transactions")
        report = simulate_day(pg_dsn)
        added = rows(
            pg_dsn,
            "select sold_at, created_at from shop.transactions where transaction_id > %s",
            known,
        )
        assert all(sold <= created == report.now for sold, created in added)
        today = report.now.replace(hour=0, minute=0, second=0, microsecond=0)
        late = [sold for sold, _ in added if sold < today]
        assert all(sold >= report.since for sold, _ in added if sold >= today)
        assert all(sold >= today - timedelta(days=10) for sold in late)
        assert report.counts["transactions_added_late"] == len(late)


def test_days_keep_every_rule_that_held(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.05, dirt=0)
    for number in range(12):
        simulate_day(pg_dsn, seed=number)
    assert set(broken(pg_dsn).values()) == {()}
    wrong = """
        select count(*) from shop.transaction_items
        inner join shop.transactions using (transaction_id)
        left join shop.campaigns using (campaign_id)
        where
            line_amount <> quantity * unit_price - discount_amount
            or discount_amount <> round(quantity * unit_price * coalesce(discount_rate, 0), 2)
            or (sold_at at time zone 'UTC')::date not between starts_on and ends_on
    """
    assert one(pg_dsn, wrong) == 0


def test_seeded_dirt_stays_what_it_was(pg_dsn: str) -> None:
    """Corrections change a header by the difference, so that ground truth stays true."""
    report = seed(pg_dsn, scale=0.1, dirt=0.02)
    for _ in range(5):
        simulate_day(pg_dsn)
    for rule, keys in broken(pg_dsn).items():
        # A voided transaction takes its dirt along.
        assert set(keys) <= set(report.dirty_keys[rule]), rule


def test_deleted_keys_never_come_back(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.01)
    gone: dict[str, set[int]] = {table: set() for table in TABLES}
    before = snapshot(pg_dsn)
    for number in range(10):
        simulate_day(pg_dsn, seed=number)
        after = snapshot(pg_dsn)
        for table in TABLES:
            gone[table] |= before[table].keys() - after[table].keys()
            assert not gone[table] & after[table].keys()
        before = after
    assert gone["customers"]
    assert gone["transactions"]


def earlier_today(connection: psycopg.Connection[Any], number: int) -> Day:
    """The day as it would be had it been read much earlier on it."""
    day = read_day(connection, number)
    day.now -= (day.now - day.since) * 9 // 10
    return day


def test_seed_and_state_give_the_same_day_at_any_hour(
    pg_dsn: str, pg_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(pg_dsn, scale=0.05)
    origin = pg_dsn.rpartition("/")[2].partition("?")[0]
    copies = []
    admin = pg_server.dsn(SUPERUSER, "postgres")
    try:
        for number in range(2):
            name = f"{origin}_copy{number}"
            copies.append(name)
            rows(admin, f'create database "{name}" template "{origin}"')
        days = [simulate_day(pg_server.dsn(SUPERUSER, copies[0]), seed=9)]
        with monkeypatch.context() as patch:
            patch.setattr("demo.shop.simulation.read_day", earlier_today)
            days.append(simulate_day(pg_server.dsn(SUPERUSER, copies[1]), seed=9))
        assert days[0].counts == days[1].counts
        contents = [timeless(pg_server.dsn(SUPERUSER, name)) for name in copies]
        assert contents[0] == contents[1]
        other = simulate_day(pg_dsn, seed=10)
        assert timeless(pg_dsn) != contents[0]
        assert other.counts["transactions_added"] > 0
    finally:
        for name in copies:
            statement = sql.SQL("drop database if exists {}").format(sql.Identifier(name))
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(statement)


def timeless(dsn: str) -> str:
    """All content but moments."""
    drop = "'{created_at,updated_at,sold_at}'"
    return json.dumps(
        [
            rows(dsn, f"select (to_jsonb(t) - {drop}::text[])::text from shop.{table} as t"
                 f" order by {KEYS[table]}")
            for table in TABLES
        ]
    )  # fmt: skip


def test_next_day_with_the_same_seed_is_another_one(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.05)
    names = "select array_agg(last_name order by customer_id) from shop.customers where {}"
    simulate_day(pg_dsn)
    first = one(pg_dsn, names.format("customer_id > 250"))
    simulate_day(pg_dsn)
    assert one(pg_dsn, names.format(f"customer_id > 250 + {len(first) + 1}")) != first


_WIPE = "truncate shop.transactions, shop.transaction_items"


@pytest.mark.parametrize(
    "destruction",
    [
        _WIPE,
        "truncate shop.customers cascade",
        "truncate shop.products cascade",
        "truncate shop.campaigns cascade",
        "update shop.products set is_active = false",
        "update shop.products set unit_price = 0.01",
        "truncate shop.transaction_items",
        "update shop.transactions set status = 'refunded'",
        "update shop.transactions set status = 'pending'",
        "update shop.campaigns set starts_on = '2001-01-01', ends_on = '2001-01-02'",
        "update shop.customers set country_code = 'ZZ'",
        "update shop.transaction_items set quantity = 0",
        "update shop.transactions set sold_at = now() + interval '1 year'",
        f"{_WIPE}; delete from shop.customers where customer_id > 1",
        f"{_WIPE}; delete from shop.customers; delete from shop.campaigns",
        "insert into shop.customers overriding system value"
        " select customer_id + 51, first_name, last_name, email, phone, street, postal_code, city,"
        " country_code, segment from shop.customers",
    ],
)
def test_days_pass_whatever_is_left(pg_dsn: str, destruction: str) -> None:
    seed(pg_dsn, scale=0.01)
    for statement in destruction.split(";"):
        rows(pg_dsn, statement)
    for number in range(4):
        simulate_day(pg_dsn, seed=number)
    assert one(pg_dsn, "select count(*) from shop.customers") > 0


def test_a_campaign_starts_when_none_runs(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.05)
    rows(pg_dsn, "update shop.campaigns set starts_on = '2001-01-01', ends_on = '2001-01-02'")
    assert simulate_day(pg_dsn).counts["campaigns_added"] == 1
    assert simulate_day(pg_dsn).counts["campaigns_added"] == 0
    assert simulate_day(pg_dsn).counts["campaigns_added"] == 0
    recent = "select count(*) from shop.transactions where campaign_id > 2 and sold_at > %s"
    assert one(pg_dsn, recent, datetime.now(UTC) - timedelta(days=1)) > 0


def test_days_take_turns(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.02)
    before = counts(pg_dsn)["transactions"]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda number: simulate_day(pg_dsn, seed=number), range(8)))
    added = sum(report.tables["transactions"]["inserted"] for report in reports)
    voided = sum(report.tables["transactions"]["deleted"] for report in reports)
    assert counts(pg_dsn)["transactions"] == before + added - voided
    assert len({report.since for report in reports}) == len(reports)


def test_volume_follows_the_seeded_one(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.5)
    report = simulate_day(pg_dsn)
    assert report.counts["transactions_added"] == pytest.approx(20_000 / 665, abs=2)
    assert report.counts["addresses_changed"] == 25


def test_missing_and_empty_shop_name_the_next_command(pg_dsn: str) -> None:
    with pytest.raises(ShopError, match=r"tables are missing.*`lake seed`"):
        simulate_day(pg_dsn)
    create_schema(pg_dsn)
    with pytest.raises(ShopError, match=r"the shop is empty.*`lake seed`"):
        simulate_day(pg_dsn)


def test_reader_may_not_let_a_day_pass(pg_dsn: str) -> None:
    seed(pg_dsn, scale=0.01)
    with pytest.raises(ShopError, match="lacks a right"):
        simulate_day(pg_dsn.replace(f"//{SUPERUSER}@", "//lake_extractor@"))


def test_broken_day_leaves_no_trace(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(pg_dsn, scale=0.01)
    before = snapshot(pg_dsn)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("demo.shop.simulation.add_rows", fail)
    with pytest.raises(KeyboardInterrupt):
        simulate_day(pg_dsn)
    assert snapshot(pg_dsn) == before
