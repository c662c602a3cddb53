"""Building after every commit gives what building once gives, row for row, in every model.

One history, told in five stages, holds what breaks incremental warehouses: late and reordered rows,
updates, deletions and returns, repeats, rows that break a rule and are mended, halves that arrive
apart, facts before their dimension.
"""

from decimal import Decimal
from pathlib import Path

import pytest
from support.reuse import publish_by_reuse, unlike_the_build
from support.shop_raw import (
    ShopLake,
    campaign,
    customer,
    differences,
    hours,
    item,
    make_shop_lake,
    product,
    transaction,
)

# Eight runs of dbt.
pytestmark = [pytest.mark.slow, pytest.mark.guard]

FREE = {"unit_price": Decimal("0.00"), "line_amount": Decimal("0.00")}
TWO = {"quantity": 2, "line_amount": Decimal("20.00")}


def first_load(lake: ShopLake) -> None:
    """Clean, broken and keyless rows; sales before their customer, product and campaign."""
    lake.land(
        "customers",
        hours(1),
        [
            customer(1),
            customer(2, email="nobody"),
            customer(3, country_code="XX", segment=None),
            customer(4),
            customer(None, email="keyless@example.org"),
        ],
    )
    lake.land("products", hours(1), [product(1), product(2, unit_price=Decimal("0.00"))])
    lake.land("campaigns", hours(1), [campaign(1)])
    lake.land(
        "transactions",
        hours(1),
        [
            transaction(1, "30.00"),
            transaction(2, "10.00", customer_id=99, campaign_id=77),
            transaction(3, "10.00", customer_id=2, campaign_id=1),
            transaction(4, "99.00"),
            transaction(5, "10.00", customer_id=4, sold_at=hours(-9000)),
            transaction(6, "10.00"),
        ],
    )
    lake.land(
        "transaction_items",
        hours(1),
        [
            item(1, 1),
            item(2, 1, line_number=2, **TWO),
            item(3, 2, product_id=99),
            item(4, 3, product_id=2),
            item(5, 4),
            item(6, 5),
            item(7, 55),
            item(8, 6, quantity=0),
            item(None, 3),
        ],
    )


def mended_and_repeated(lake: ShopLake) -> None:
    """Repeats by overlap; broken rows mended; clean rows broken; the same keyless row again."""
    lake.land(
        "customers",
        hours(25),
        [
            customer(1),
            customer(2, email="two@example.org", updated_at=hours(20)),
            customer(4, city="Leipzig", updated_at=hours(21)),
            customer(None, email="keyless@example.org"),
        ],
    )
    lake.land("products", hours(25), [product(2, updated_at=hours(20))])
    lake.land(
        "transactions",
        hours(25),
        [
            transaction(4, "10.00", updated_at=hours(20)),
            transaction(7, "10.00", customer_id=4, sold_at=hours(22)),
            transaction(8, "10.00", customer_id=4, sold_at=hours(20)),
            transaction(9, "20.00", customer_id=4, sold_at=hours(55), campaign_id=1),
            transaction(10, "10.00", customer_id=98, sold_at=hours(23)),
            # Nothing but its campaign touches the first again, and nothing but items the others.
            transaction(11, "0.00", customer_id=None, sold_at=hours(55), campaign_id=1),
            transaction(12, "0.00", customer_id=None, sold_at=hours(20)),
            transaction(13, "0.00", customer_id=None, sold_at=hours(20)),
            # And nothing but its customer this one.
            transaction(14, "0.00", sold_at=hours(55)),
        ],
    )
    lake.land(
        "transaction_items",
        hours(25),
        [
            item(8, 6, updated_at=hours(20)),
            item(1, 1, quantity=3, updated_at=hours(20)),
            item(9, 7),
            item(10, 8),
            item(11, 9, product_id=98, **TWO),
            item(12, 10),
            item(13, 12, **FREE),
            item(14, 12, line_number=2, **FREE),
        ],
    )


def late_and_moved(lake: ShopLake) -> None:
    """Late dimensions, a late header for an orphan, an item that moves, tombstones, a version
    whose clock runs ahead."""
    lake.land("customers", hours(49), [customer(99, city="Late", updated_at=hours(-200))])
    lake.land("customers", hours(50), deleted=[3, 4, 1234])
    lake.land("products", hours(49), [product(99), product(1, category="Toys", updated_at=None)])
    lake.land("campaigns", hours(49), [campaign(77), campaign(1, ends_on=None)])
    lake.land("transactions", hours(49), [transaction(55, "20.00", sold_at=hours(-1000))])
    lake.land(
        "transaction_items",
        hours(49),
        [
            item(10, 55, updated_at=hours(40)),
            item(1, 1, updated_at=hours(45)),
            item(13, 13, updated_at=hours(45), **FREE),
        ],
    )
    lake.land("customers", hours(51), [customer(1, city="Future", updated_at=hours(90000))])


def returned_and_removed(lake: ShopLake) -> None:
    """A key comes back after its deletion, lines and receipts vanish, one after the other."""
    lake.land("customers", hours(73), [customer(4, city="Rome", updated_at=hours(72))])
    lake.land("customers", hours(74), deleted=[2])
    # Nothing but created_at: sales before it, and whether they may be, depend on it.
    lake.land("customers", hours(75), [customer(99, city="Late", created_at=hours(30))])
    lake.land("transaction_items", hours(73), deleted=[2, 3, 14])
    lake.land("transactions", hours(74), [transaction(1, "10.00", updated_at=hours(70))])
    lake.land("transactions", hours(75), deleted=[2])
    # A state of the campaign from before sales that have long been counted.
    late = campaign(1, channel="social", updated_at=hours(54))
    lake.land("campaigns", hours(73), [late], deleted=[77])
    lake.land("products", hours(73), deleted=[99])
    # One commit that both deletes and holds a row: the row is there.
    lake.land("campaigns", hours(74), [campaign(1, updated_at=hours(70))], deleted=[1])


def reordered(lake: ShopLake) -> None:
    """A commit that was seen earlier than what is landed already, and a customer's last word."""
    lake.land("customers", hours(60), [customer(4, city="Forgotten", updated_at=hours(59))])
    lake.land("customers", hours(97), [customer(1, email="broken", updated_at=hours(95))])
    lake.land("products", hours(2), [product(1, category="Garden", updated_at=hours(1.5))])
    lake.land("customers", hours(97), [customer(98, email="late", city="Inferred")])
    lake.land("transaction_items", hours(97), deleted=[12])
    lake.land("transactions", hours(97), deleted=[10])
    lake.land("transactions", hours(97), [transaction(8, "0.00", updated_at=hours(96))])


STAGES = (first_load, mended_and_repeated, late_and_moved, returned_and_removed, reordered)


@pytest.fixture(scope="module")
def built_in_stages(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    lake = make_shop_lake(tmp_path_factory.mktemp("stages") / "root")
    for stage in STAGES[:-1]:
        stage(lake)
        if stage is late_and_moved:
            # A run of a part: marts see commits that the models between have not seen.
            lake.dbt("run", "--select", "staging.base", "marts")
            publish_by_reuse(lake.settings)
        lake.dbt("run")
        publish_by_reuse(lake.settings)
        assert unlike_the_build(lake.settings) == {}
    STAGES[-1](lake)
    lake.dbt("build", "--vars", "publish: false")
    return lake


def built_at_once(lake: ShopLake, folder: Path) -> ShopLake:
    other = make_shop_lake(folder, target=lake.target)
    (folder / "data").symlink_to(lake.root / "data")
    other.dbt("run")
    return other


def test_incremental_builds_equal_one_build_from_raw(
    built_in_stages: ShopLake, tmp_path: Path
) -> None:
    """In every model of every layer, row for row."""
    fresh = built_at_once(built_in_stages, tmp_path / "root")
    assert differences(built_in_stages, fresh) == {}


def test_a_version_made_out_of_the_one_before_holds_the_rows_of_the_build(
    built_in_stages: ShopLake,
) -> None:
    """And only what changed was written: the calendar, for one, is not made anew each time."""
    sales = built_in_stages.query('select count(*) from ops."changes of marts.fct_sales"')
    assert sales[0][0] > 3
    assert publish_by_reuse(built_in_stages.settings) > 0
    assert unlike_the_build(built_in_stages.settings) == {}


def test_the_history_shows_what_it_is_meant_to_show(built_in_stages: ShopLake) -> None:
    """The comparison above proves nothing about rows that both ways get wrong alike."""
    query = built_in_stages.query
    assert query(
        "select city, is_current, member_kind from marts.dim_customer where customer_id = 4"
        " order by valid_from"
    ) == [
        ("Dresden", False, "known"),
        ("Leipzig", False, "known"),
        ("Forgotten", False, "known"),
        ("Rome", True, "known"),
    ]
    assert query(
        "select transaction_item_id, city, category, channel from marts.fct_sales"
        " join marts.dim_customer using (customer_key) join marts.dim_product using (product_key)"
        " join marts.dim_campaign using (campaign_key) order by 1"
    ) == [
        (1, "Dresden", "Home", "none"),
        (5, "Dresden", "Home", "none"),
        (7, "Dresden", "Home", "none"),
        (8, "Dresden", "Home", "none"),
        # Sold after the move to Leipzig, and after a category that arrived last of all.
        (9, "Leipzig", "Garden", "none"),
        (10, "Dresden", "Home", "none"),
        # Sold after a deletion was noticed and before the return: the member as last known. What
        # its campaign was then arrived later.
        (11, "Leipzig", "unknown", "social"),
        (13, None, "Garden", "none"),
    ]
    assert query(
        "select transaction_id, line_count, quantity, net_amount from marts.fct_receipts order by 1"
    ) == [
        (1, 1, 1, Decimal("10.00")),
        (4, 1, 1, Decimal("10.00")),
        (6, 1, 1, Decimal("10.00")),
        (7, 1, 1, Decimal("10.00")),
        # Its only item has moved to 55, which had one.
        (8, 0, 0, Decimal("0.00")),
        (9, 1, 2, Decimal("20.00")),
        (11, 0, 0, Decimal("0.00")),
        # Of its items one has moved to the next, the other was deleted.
        (12, 0, 0, Decimal("0.00")),
        (13, 1, 1, Decimal("0.00")),
        (14, 0, 0, Decimal("0.00")),
        (55, 2, 2, Decimal("20.00")),
    ]
    assert query(
        "select channel from marts.fct_receipts join marts.dim_campaign using (campaign_key)"
        " where transaction_id = 11"
    ) == [("social",)]
    assert query(
        "select city from marts.fct_receipts join marts.dim_customer using (customer_key)"
        " where transaction_id = 14"
    ) == [("Future",)]
    assert query("select net_amount, customer_id from marts.fct_sales where customer_id = 98") == []
    assert query(
        "select transaction_id, broken_rules from quarantine.quarantine_shop__transactions"
        " order by 1"
    ) == [
        (3, "transaction_total_mismatch,transaction_item_broken"),
        (5, "transaction_before_customer"),
    ]
    assert query(
        "select transaction_item_id, broken_rules"
        " from quarantine.quarantine_shop__transaction_items order by 1 nulls last"
    ) == [
        (4, "item_transaction_quarantined"),
        (6, "item_transaction_quarantined"),
        (None, "key_missing,item_transaction_quarantined"),
    ]
    assert query(
        "select customer_id, broken_rules, is_deleted"
        " from quarantine.quarantine_shop__customers order by 1 nulls last"
    ) == [
        (1, "customer_email_malformed", False),
        (3, "customer_country_unknown,customer_segment_unknown", True),
        (98, "customer_email_malformed", False),
        (1234, "delete_without_version", True),
        (None, "key_missing", False),
    ]
