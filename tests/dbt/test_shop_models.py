"""What the models of the shop make of single rows: rules, versions, columns.

Every case has its own keys, so that one build serves all of them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from support.shop_raw import (
    ShopLake,
    campaign,
    customer,
    hours,
    item,
    make_shop_lake,
    product,
    transaction,
)

FISCAL_START = 4
BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
OPEN_END = datetime(9999, 12, 31, tzinfo=UTC)
FREE = {"line_amount": Decimal("0.00"), "unit_price": Decimal("0.00")}

# Of each table: key, columns, and the rules that the row breaks.
CUSTOMERS: Sequence[tuple[int, Mapping[str, Any], str]] = [
    (1, {}, ""),
    (2, {"email": "ada.example.org"}, "customer_email_malformed"),
    (3, {"email": "ada@@example.org"}, "customer_email_malformed"),
    (4, {"email": "ada@"}, "customer_email_malformed"),
    (5, {"email": "ada @example.org"}, "customer_email_malformed"),
    (6, {"email": None}, "customer_email_malformed"),
    (7, {"country_code": "ZZ"}, "customer_country_unknown"),
    (8, {"country_code": None}, "customer_country_unknown"),
    (9, {"segment": "alien"}, "customer_segment_unknown"),
    (10, {"_unrepresentable": '{"created_at": "infinity"}'}, "value_not_representable"),
    (
        11,
        {"email": "", "country_code": None, "segment": None},
        "customer_email_malformed,customer_country_unknown,customer_segment_unknown",
    ),
    (12, {"email": "ada@example..org"}, "customer_email_malformed"),
    (13, {"segment": "business", "country_code": "US"}, ""),
]
PRODUCTS: Sequence[tuple[int, Mapping[str, Any], str]] = [
    (1, {"unit_price": Decimal("0.01")}, ""),
    (2, {"unit_price": Decimal("0.00")}, "product_price_not_positive"),
    (3, {"unit_price": Decimal("-1.00")}, "product_price_not_positive"),
    (4, {"unit_price": None}, "product_price_not_positive"),
]
CAMPAIGNS: Sequence[tuple[int, Mapping[str, Any], str]] = [
    (1, {"discount_rate": Decimal("1.0000"), "ends_on": date(2026, 3, 1)}, ""),
    (2, {"discount_rate": Decimal("1.0001")}, "campaign_discount_rate_out_of_range"),
    (3, {"discount_rate": Decimal("-0.0001")}, "campaign_discount_rate_out_of_range"),
    (4, {"ends_on": date(2026, 2, 28)}, "campaign_period_reversed"),
    (5, {"starts_on": None}, "campaign_period_reversed"),
    (6, {"channel": "billboard"}, "campaign_channel_unknown"),
    (7, {"discount_rate": Decimal("0.0000"), "channel": "store"}, ""),
]
# A transaction has the items that name it; those without any have a total of zero.
TRANSACTIONS: Sequence[tuple[int, str, Mapping[str, Any], str]] = [
    (1, "30.00", {}, ""),
    (2, "30.00", {}, "transaction_total_mismatch"),
    (3, "0.00", {"total_amount": None}, "transaction_total_mismatch"),
    (4, "10.00", {}, "transaction_item_broken"),
    (5, "0.00", {"sold_at": hours(-9000)}, "transaction_before_customer"),
    (6, "0.00", {"customer_id": 9999}, ""),
    (7, "0.00", {"sold_at": None}, "transaction_sold_at_implausible"),
    (
        8,
        "0.00",
        {"sold_at": datetime(2100, 1, 1, tzinfo=UTC)},
        "transaction_sold_at_implausible",
    ),
    (
        9,
        "0.00",
        {"sold_at": datetime(1999, 12, 31, 23, tzinfo=UTC), "customer_id": None},
        "transaction_sold_at_implausible",
    ),
    (10, "0.00", {"status": "lost"}, "transaction_status_unknown"),
    (11, "0.00", {"payment_method": "shells"}, "transaction_payment_method_unknown"),
    (12, "30.00", {}, ""),  # deleted below: it need not agree with its items any more
    (13, "0.00", {}, "transaction_total_mismatch,transaction_item_broken"),
    (14, "0.00", {"sold_at": datetime(2099, 12, 31, tzinfo=UTC), "status": "pending"}, ""),
    (15, "9.00", {"status": "refunded", "payment_method": "wallet"}, ""),
    (16, "9.00", {"status": "pending"}, ""),
]
DELETED_TRANSACTION = 12
QUARANTINED = "item_transaction_quarantined"
ITEMS: Sequence[tuple[int, int | None, Mapping[str, Any], str]] = [
    (1, 1, {}, ""),
    (2, 1, {"quantity": 2, "line_amount": Decimal("20.00")}, ""),
    (3, 2, {}, QUARANTINED),
    (
        4,
        4,
        {"quantity": 0, "line_amount": Decimal("0.00")},
        f"item_quantity_not_positive,{QUARANTINED}",
    ),
    (5, 4, {}, QUARANTINED),
    (6, 99, {}, "item_transaction_missing"),
    (7, None, {}, "item_transaction_missing"),
    (8, DELETED_TRANSACTION, {}, "item_transaction_missing"),
    (
        9,
        13,
        {"quantity": None},
        "item_quantity_not_positive,item_discount_out_of_range,"
        f"item_line_amount_mismatch,{QUARANTINED}",
    ),
    (10, 13, {"line_amount": Decimal("10.01")}, f"item_line_amount_mismatch,{QUARANTINED}"),
    (11, 13, {"line_amount": None}, f"item_line_amount_mismatch,{QUARANTINED}"),
    # Does not overflow on its way to the verdict.
    (
        12,
        13,
        {"quantity": 2147483647, "unit_price": Decimal("9999999999.99")},
        f"item_line_amount_mismatch,{QUARANTINED}",
    ),
    (
        13,
        13,
        {"unit_price": Decimal("-10.00"), "line_amount": Decimal("-10.00")},
        f"item_unit_price_negative,item_discount_out_of_range,{QUARANTINED}",
    ),
    (
        14,
        13,
        {"discount_amount": Decimal("-20.00"), "line_amount": Decimal("30.00")},
        f"item_discount_out_of_range,{QUARANTINED}",
    ),
    (
        15,
        13,
        {"discount_amount": Decimal("10.01"), "line_amount": Decimal("-0.01")},
        f"item_discount_out_of_range,{QUARANTINED}",
    ),
    (16, 6, FREE, ""),
    (17, 6, {"discount_amount": Decimal("10.00"), "line_amount": Decimal("0.00")}, ""),
    (18, 15, {"discount_amount": Decimal("1.00"), "line_amount": Decimal("9.00")}, ""),
    (19, 16, {"discount_amount": Decimal("1.00"), "line_amount": Decimal("9.00")}, ""),
    # Deleted below: an item that is gone needs no transaction.
    (20, 98, {}, ""),
]
DELETED_ITEM = 20


def land_rules(lake: ShopLake) -> None:
    """One row per case, and tombstones of keys of which nothing else landed."""
    lake.land("customers", hours(1), [customer(key, **columns) for key, columns, _ in CUSTOMERS])
    keyless = {"email": "keyless@example.org"}
    lake.land("customers", hours(2), [customer(None, **keyless), customer(None, city="Else")])
    lake.land("customers", hours(3), [customer(None, **keyless)], deleted=[99])
    lake.land("products", hours(1), [product(key, **columns) for key, columns, _ in PRODUCTS])
    lake.land("campaigns", hours(1), [campaign(key, **columns) for key, columns, _ in CAMPAIGNS])
    lake.land(
        "transactions",
        hours(1),
        [transaction(key, total, **columns) for key, total, columns, _ in TRANSACTIONS],
    )
    lake.land("transactions", hours(2), deleted=[DELETED_TRANSACTION])
    lake.land(
        "transaction_items",
        hours(1),
        [item(key, sale, **columns) for key, sale, columns, _ in ITEMS],
    )
    lake.land("transaction_items", hours(2), deleted=[DELETED_ITEM])


def land_current_versions(lake: ShopLake) -> None:
    """Products whose last version is told by the order in which they landed."""
    # 201: what was seen last counts, not the greatest updated_at.
    lake.land("products", hours(20), [product(201, product_name="first", updated_at=hours(15))])
    lake.land("products", hours(24), [product(201, product_name="last", updated_at=hours(14))])
    # 202: a repeat is one row; it was first seen when it was first landed.
    lake.land("products", hours(20), [product(202)])
    lake.land("products", hours(24), [product(202)])
    # 203: deleted; keeps its attributes; the first tombstone dates the deletion.
    lake.land("products", hours(20), [product(203, product_name="gone")])
    lake.land("products", hours(24), deleted=[203])
    lake.land("products", hours(28), deleted=[203])
    # 204: deleted, then back.
    lake.land("products", hours(20), [product(204)])
    lake.land("products", hours(24), deleted=[204])
    lake.land("products", hours(28), [product(204, product_name="back")])
    # 205: deleted and held by one snapshot: held.
    lake.land("products", hours(20), [product(205)], deleted=[205])


def day(number: int, hour: int = 0) -> datetime:
    """Noon of a day of the history, and hours from there."""
    return hours(24 * number + hour)


def land_history(lake: ShopLake) -> None:
    """Customers and products through time."""
    at = {n: hours(24 * n) for n in range(10, 17)}  # seen at noon of successive days
    morning = {n: hours(24 * n - 4) for n in range(10, 17)}

    def seen(number: int, key: int, **columns: object) -> None:
        lake.land("customers", at[number], [customer(key, **columns)])

    # 301: three states; the repeat and the change of nothing but updated_at are no versions.
    seen(10, 301, updated_at=morning[10])
    seen(11, 301, updated_at=morning[10])
    seen(12, 301, updated_at=morning[12])
    seen(13, 301, city="Leipzig", updated_at=morning[13])
    seen(14, 301, updated_at=morning[14])
    # 302: deleted, noticed twice, back with the same attributes.
    seen(10, 302, updated_at=morning[10])
    lake.land("customers", at[11], deleted=[302])
    lake.land("customers", at[12], deleted=[302])
    seen(13, 302, updated_at=morning[13])
    # 303: the broken versions open nothing; the first clean one holds from the beginning.
    seen(10, 303, email="nobody", city="Broken", updated_at=morning[10])
    seen(11, 303, updated_at=morning[11])
    seen(12, 303, email="nobody", updated_at=morning[12])
    # 304: a clock that runs ahead, then one without time: bounded by when they were seen.
    seen(10, 304, updated_at=hours(90000))
    seen(11, 304, city="Leipzig", updated_at=hours(80000))
    seen(12, 304, city="Halle", updated_at=None)
    # 305: a clock that went back: what was published stays, the new version begins when seen.
    seen(10, 305, updated_at=morning[10])
    seen(11, 305, city="Leipzig", updated_at=hours(0))
    # And so does the next, if its time is from before the one before it was seen.
    seen(12, 305, city="Halle", updated_at=hours(24 * 11 - 2))
    seen(13, 305, city="Jena", updated_at=morning[13])
    # 300: the very instant at which the one before was seen is still before that.
    seen(10, 300, updated_at=morning[10])
    seen(11, 300, city="Leipzig", updated_at=hours(0))
    seen(12, 300, city="Halle", updated_at=at[11])
    # 306: a time from before 1900 is no time.
    seen(10, 306, updated_at=morning[10])
    seen(11, 306, city="Leipzig", updated_at=datetime(1899, 5, 1, tzinfo=UTC))
    # 307: nothing but created_at was corrected: a version, like any other change.
    seen(10, 307, updated_at=morning[10])
    seen(11, 307, created_at=hours(-200), updated_at=morning[11])
    # 308: a deletion and a return in one snapshot is no change.
    seen(10, 308, updated_at=morning[10])
    lake.land("customers", at[11], [customer(308, updated_at=morning[10])], deleted=[308])
    # 309 sits in quarantine, 310 has not arrived; both are named by sales.
    seen(10, 309, email="nobody")
    sold = [
        transaction(301, "0.00", customer_id=309),
        transaction(302, "0.00", customer_id=310),
        transaction(303, "0.00", customer_id=310),
        transaction(304, "0.00", customer_id=311),  # deleted below: names nobody
        transaction(305, "0.00", customer_id=None),
    ]
    lake.land("transactions", at[10], sold)
    lake.land("transactions", at[11], deleted=[304])
    # Prices: the broken one opens nothing.
    lake.land("products", at[10], [product(301, updated_at=morning[10])])
    for number, price in ((11, "12.50"), (12, "0.00")):
        row = product(301, unit_price=Decimal(price), updated_at=morning[number])
        lake.land("products", at[number], [row])


def land_campaign_history(lake: ShopLake) -> None:
    """A campaign of two versions, in which a broken one and a tombstone follow, and its sales."""
    rate = {"discount_rate": Decimal("0.2000"), "channel": "search"}
    lake.land("campaigns", day(10), [campaign(301, updated_at=day(10, -4))])
    lake.land("campaigns", day(11), [campaign(301, updated_at=day(11, -4), **rate)])
    lake.land("campaigns", day(12), [campaign(301, updated_at=day(12, -4), starts_on=None)])
    lake.land("campaigns", day(13), deleted=[301])
    times = {306: day(11, -5), 307: day(11, -4), 308: day(14)}
    sold = [transaction(n, "0.00", campaign_id=301, sold_at=at) for n, at in times.items()]
    lake.land("transactions", day(10), [*sold, transaction(309, "0.00", campaign_id=310)])


ALL = {
    "customers": customer(
        401,
        first_name="a first name",
        last_name="a last name",
        email="an@email.org",
        phone="a phone",
        street="a street",
        postal_code="a postal code",
        city="a city",
        country_code="FR",
        segment="business",
        created_at=hours(-401),
        updated_at=hours(-399),
    ),
    "products": product(
        401,
        sku="a sku",
        product_name="a product name",
        category="a category",
        unit_price=Decimal("401.01"),
        is_active=False,
        created_at=hours(-402),
        updated_at=hours(-398),
    ),
    "campaigns": campaign(
        401,
        campaign_name="a campaign name",
        channel="social",
        discount_rate=Decimal("0.4010"),
        starts_on=date(2024, 4, 1),
        ends_on=date(2024, 4, 2),
        created_at=hours(-403),
        updated_at=hours(-397),
    ),
    "transactions": transaction(
        401,
        "395.01",
        customer_id=401,
        campaign_id=401,
        sold_at=hours(-300),
        status="completed",
        payment_method="transfer",
        created_at=hours(-299),
        updated_at=hours(-298),
    ),
    "transaction_items": item(
        402,
        401,
        line_number=7,
        product_id=401,
        quantity=3,
        unit_price=Decimal("132.00"),
        discount_amount=Decimal("0.99"),
        line_amount=Decimal("395.01"),
        created_at=hours(-297),
        updated_at=hours(-296),
    ),
}


INFINITE = {"_unrepresentable": '{"created_at": "infinity"}'}
BROKEN = {
    "customers": customer(402, **INFINITE),
    "products": product(402, **INFINITE),
    "campaigns": campaign(402, **INFINITE),
    "transactions": transaction(402, "10.00", **INFINITE),
    "transaction_items": item(403, 402, **INFINITE),
}


def land_all_columns(lake: ShopLake) -> None:
    """One clean row of each table, in which no two columns are alike, and two broken landings."""
    for table, row in ALL.items():
        lake.land(table, hours(30), [row])
        lake.land(table, hours(31), [BROKEN[table]])
        lake.land(table, hours(35), [BROKEN[table]])
    gone = [customer(403, email="broken")]
    lake.land("customers", hours(35), gone)
    lake.land("customers", hours(40), deleted=[403])


# Five receipts of one customer, in months that no other sale is in, and what they add up to.
SPRING = {"campaign_id": 501, "customer_id": 501}
RECEIPTS: Sequence[tuple[int, str, Mapping[str, Any]]] = [
    (501, "29.00", {**SPRING, "sold_at": datetime(2025, 5, 3, tzinfo=UTC)}),
    (502, "10.00", {"customer_id": 501, "sold_at": datetime(2025, 5, 3, 23, 59, 59, tzinfo=UTC)}),
    (503, "10.00", {**SPRING, "sold_at": datetime(2025, 5, 4, tzinfo=UTC), "status": "refunded"}),
    (504, "20.00", {**SPRING, "sold_at": datetime(2025, 6, 1, tzinfo=UTC), "status": "pending"}),
    (505, "9.95", {**SPRING, "sold_at": datetime(2025, 6, 30, 23, 59, 59, 999999, tzinfo=UTC)}),
]
LINES: Sequence[tuple[int, int, Mapping[str, Any]]] = [
    (
        501,
        501,
        {"quantity": 2, "discount_amount": Decimal("1.00"), "line_amount": Decimal("19.00")},
    ),
    (502, 501, {"line_number": 2}),
    (503, 502, {}),
    (504, 503, {}),
    (505, 504, {"quantity": 2, "line_amount": Decimal("20.00")}),
    (506, 505, {"discount_amount": Decimal("0.05"), "line_amount": Decimal("9.95")}),
]
MEASURES = (
    "receipt_count, quantity, gross_amount, discount_amount, revenue_amount, pending_amount,"
    " refunded_amount, average_receipt, discount_rate"
)
# The newest accepted transaction is seen on 11 March 2026; 180 days before is 12 September.
LAPSES = {502: date(2025, 9, 12), 503: date(2025, 9, 11)}


def land_receipts(lake: ShopLake) -> None:
    """Sales of known amounts, and customers who have bought long ago, not at all, or are gone."""
    old = {"created_at": hours(-9000)}
    hamburg = {"city": "Hamburg", "country_code": "SE", **old}
    lake.land("customers", hours(50), [customer(501, updated_at=hours(-9000), **hamburg)])
    lake.land("customers", hours(51), [customer(501, city="Bremen", updated_at=hours(40), **old)])
    lake.land("customers", hours(50), [customer(key, city=None, **old) for key in range(502, 506)])
    lake.land("customers", hours(51), deleted=[505])
    lake.land("campaigns", hours(50), [campaign(501, channel="store")])
    lake.land("campaigns", hours(51), [campaign(501, channel="social", campaign_name="Renamed")])
    sold = [transaction(key, total, **columns) for key, total, columns in RECEIPTS]
    sold += [
        transaction(
            500 + n, "0.00", customer_id=n, sold_at=datetime(d.year, d.month, d.day, 1, tzinfo=UTC)
        )
        for n, d in LAPSES.items()
    ]
    sold += [
        transaction(1004, "0.00", customer_id=504, status="pending"),
        transaction(1005, "0.00", customer_id=505),
    ]
    lake.land("transactions", hours(50), sold)
    lake.land("transaction_items", hours(50), [item(key, sale, **c) for key, sale, c in LINES])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> ShopLake:
    made = make_shop_lake(tmp_path_factory.mktemp("models") / "root")
    for land in (
        land_rules,
        land_current_versions,
        land_history,
        land_campaign_history,
        land_all_columns,
        land_receipts,
    ):
        land(made)
    # With its data and unit tests: strange rows are no reason to be red. The fiscal year is not the
    # calendar's, so that the two cannot be mistaken for each other.
    made.dbt(
        "build",
        "--vars",
        f"fiscal_year_first_month: {FISCAL_START}",
        "--select",
        "+path:models/staging/shop +path:models/quarantine/shop +path:models/marts/shop",
    )
    return made


def broken_rules(lake: ShopLake, model: str, key: str, keys: Sequence[int]) -> dict[int, str]:
    chosen = ", ".join(map(str, keys))
    return dict(lake.query(f"select {key}, broken_rules from {model} where {key} in ({chosen})"))


def test_each_rule_is_broken_by_its_rows_and_by_no_others(lake: ShopLake) -> None:
    for table, cases in (
        ("customers", CUSTOMERS),
        ("products", PRODUCTS),
        ("campaigns", CAMPAIGNS),
    ):
        expected = {key: rules for key, _, rules in cases}
        found = broken_rules(lake, f"staging.stg_shop__{table}", f"{table[:-1]}_id", [*expected])
        assert found == expected


def test_a_transaction_is_validated_together_with_its_items_and_its_customer(
    lake: ShopLake,
) -> None:
    expected = {key: rules for key, _, _, rules in TRANSACTIONS}
    model = "intermediate.int_shop__transactions_validated"
    assert broken_rules(lake, model, "transaction_id", [*expected]) == expected


def test_an_item_shares_the_fate_of_its_transaction(lake: ShopLake) -> None:
    expected = {key: rules for key, _, _, rules in ITEMS}
    model = "intermediate.int_shop__transaction_items_validated"
    assert broken_rules(lake, model, "transaction_item_id", [*expected]) == expected


def test_clean_and_quarantined_rows_are_what_the_rules_say(lake: ShopLake) -> None:
    """Neither in both, nor in none, and of the clean ones the deleted are not accepted."""
    for table, key in (
        ("transactions", "transaction_id"),
        ("transaction_items", "transaction_item_id"),
    ):
        validated = lake.query(
            f"select {key}, broken_rules = '', is_deleted"
            f" from intermediate.int_shop__{table}_validated"
        )
        accepted = {
            k for (k,) in lake.query(f"select {key} from intermediate.int_shop__{table}_accepted")
        }
        quarantined = {
            k for (k,) in lake.query(f"select {key} from quarantine.quarantine_shop__{table}")
        }
        assert accepted == {
            k for k, is_clean, is_deleted in validated if is_clean and not is_deleted
        }
        assert quarantined == {k for k, is_clean, _ in validated if not is_clean}


def test_rows_without_a_key_are_told_apart_by_their_content(lake: ShopLake) -> None:
    rows = lake.query(
        "select email, city, broken_rules, first_seen_at, last_seen_at"
        " from quarantine.quarantine_shop__customers where customer_id is null order by 1"
    )
    assert rows == [
        ("cNone@example.org", "Else", "key_missing", hours(2), hours(2)),
        ("keyless@example.org", "Dresden", "key_missing", hours(2), hours(3)),
    ]


def test_a_tombstone_without_any_version_is_quarantined(lake: ShopLake) -> None:
    rows = lake.query(
        "select broken_rules, is_deleted, deleted_at from quarantine.quarantine_shop__customers"
        " where customer_id = 99"
    )
    assert rows == [("delete_without_version", True, hours(3))]


def test_the_version_that_landed_last_is_current(lake: ShopLake) -> None:
    assert lake.query(
        "select product_id, product_name, is_deleted, deleted_at, first_seen_at, last_seen_at"
        " from staging.stg_shop__products where product_id between 201 and 205 order by 1"
    ) == [
        (201, "last", False, None, hours(24), hours(24)),
        (202, "Lamp", False, None, hours(20), hours(24)),
        (203, "gone", True, hours(24), hours(20), hours(20)),
        (204, "back", False, None, hours(28), hours(28)),
        (205, "Lamp", False, None, hours(20), hours(20)),
    ]


def test_customers_have_the_versions_that_their_history_tells(lake: ShopLake) -> None:
    rows = lake.query(
        "select customer_id, city, valid_from, valid_to, is_current from marts.dim_customer"
        " where member_kind = 'known' and customer_id between 300 and 308 order by 1, 3"
    )
    assert rows == [
        (300, "Dresden", BEGINNING, day(11), False),
        (300, "Leipzig", day(11), day(12), False),
        (300, "Halle", day(12), OPEN_END, True),
        (301, "Dresden", BEGINNING, day(13, -4), False),
        (301, "Leipzig", day(13, -4), day(14, -4), False),
        (301, "Dresden", day(14, -4), OPEN_END, True),
        (302, "Dresden", BEGINNING, day(11), False),
        (302, "Dresden", day(13, -4), OPEN_END, True),
        (303, "Dresden", BEGINNING, OPEN_END, True),
        (304, "Dresden", BEGINNING, day(11), False),
        (304, "Leipzig", day(11), day(12), False),
        (304, "Halle", day(12), OPEN_END, True),
        (305, "Dresden", BEGINNING, day(11), False),
        (305, "Leipzig", day(11), day(12), False),
        (305, "Halle", day(12), day(13, -4), False),
        (305, "Jena", day(13, -4), OPEN_END, True),
        (306, "Dresden", BEGINNING, day(11), False),
        (306, "Leipzig", day(11), OPEN_END, True),
        (307, "Dresden", BEGINNING, day(11, -4), False),
        (307, "Dresden", day(11, -4), OPEN_END, True),
        (308, "Dresden", BEGINNING, OPEN_END, True),
    ]


def test_members_that_sales_name_and_nobody_knows_are_inferred(lake: ShopLake) -> None:
    rows = lake.query(
        "select customer_id, city, country_code, segment, is_current, valid_from, valid_to"
        " from marts.dim_customer where member_kind <> 'known' and coalesce(customer_id, 0) <> 9999"
        " order by 1 nulls last"
    )
    unknown = (None, "unknown", "unknown", True, BEGINNING, OPEN_END)
    assert rows == [(309, *unknown), (310, *unknown), (None, *unknown)]


def test_products_have_a_version_per_price(lake: ShopLake) -> None:
    assert lake.query(
        "select unit_price, valid_from, valid_to, is_current from marts.dim_product"
        " where product_id = 301 order by 2"
    ) == [
        (Decimal("10.00"), BEGINNING, day(11, -4), False),
        (Decimal("12.50"), day(11, -4), OPEN_END, True),
    ]


def as_row(lake: ShopLake, table: str, where: str) -> dict[str, Any]:
    names = [name for (name,) in lake.query(f"select column_name from (describe {table})")]
    (row,) = lake.query(f"select * from {table} where {where}")
    return dict(zip(names, row, strict=True))


@pytest.mark.parametrize("table", ALL)
def test_every_column_of_the_source_arrives_in_staging(lake: ShopLake, table: str) -> None:
    key, value = next(iter(ALL[table].items()))
    row = as_row(lake, f"staging.stg_shop__{table}", f"{key} = {value}")
    assert {name: row[name] for name in ALL[table]} == dict(ALL[table])
    assert (row["first_seen_at"], row["last_seen_at"], row["_extracted_at"]) == (hours(30),) * 3
    assert (row["is_deleted"], row["deleted_at"], row["broken_rules"]) == (False, None, "")
    assert row["_unrepresentable"] is None
    assert row["_record_key"].endswith(str(value))


@pytest.mark.parametrize("table", BROKEN)
def test_a_quarantined_row_keeps_its_payload_and_its_times(lake: ShopLake, table: str) -> None:
    expected = BROKEN[table]
    key, value = next(iter(expected.items()))
    row = as_row(lake, f"quarantine.quarantine_shop__{table}", f"{key} = {value}")
    assert {name: row[name] for name in expected} == dict(expected)
    assert (row["first_seen_at"], row["last_seen_at"]) == (hours(31), hours(35))
    assert (row["is_deleted"], row["deleted_at"]) == (False, None)


def test_a_quarantined_row_that_is_deleted_says_since_when(lake: ShopLake) -> None:
    gone = as_row(lake, "quarantine.quarantine_shop__customers", "customer_id = 403")
    assert (gone["is_deleted"], gone["deleted_at"]) == (True, hours(40))


def test_every_column_of_a_dimension_comes_from_its_source(lake: ShopLake) -> None:
    for dimension, table, left_out in (
        ("dim_customer", "customers", {"updated_at"}),
        ("dim_product", "products", {"updated_at"}),
        ("dim_campaign", "campaigns", {"updated_at"}),
    ):
        expected = {k: v for k, v in ALL[table].items() if k not in left_out}
        row = as_row(lake, f"marts.{dimension}", f"{table[:-1]}_id = 401")
        assert {name: row[name] for name in expected} == expected
        assert row["member_kind"] == "known"


def test_every_column_of_a_sale_comes_from_its_item_and_its_transaction(lake: ShopLake) -> None:
    row = as_row(lake, "marts.fct_sales", "transaction_item_id = 402")
    sale, line = ALL["transactions"], ALL["transaction_items"]
    from_sale = (
        "transaction_id",
        "customer_id",
        "campaign_id",
        "status",
        "payment_method",
        "sold_at",
    )
    from_line = ("product_id", "line_number", "quantity", "unit_price", "discount_amount")
    expected = {
        **{name: sale[name] for name in from_sale},
        **{name: line[name] for name in from_line},
        "gross_amount": Decimal("396.00"),
        "net_amount": Decimal("395.01"),
        "revenue_amount": Decimal("395.01"),
        "date_key": 20260217,
    }
    assert {name: row[name] for name in expected} == expected
    for dimension in ("customer", "product", "campaign"):
        (key,) = lake.query(
            f"select {dimension}_key from marts.dim_{dimension} where {dimension}_id = 401"
        )[0]
        assert row[f"{dimension}_key"] == key


def test_every_column_of_a_receipt_comes_from_its_transaction_and_its_items(lake: ShopLake) -> None:
    row = as_row(lake, "marts.fct_receipts", "transaction_id = 401")
    sale = as_row(lake, "marts.fct_sales", "transaction_id = 401")
    shared = set(row) & set(sale)
    assert set(row) - shared == {"line_count"}
    assert {name: row[name] for name in shared} == {name: sale[name] for name in shared}
    assert row["line_count"] == 1
    several = as_row(lake, "marts.fct_receipts", "transaction_id = 501")
    expected = {
        "line_count": 2,
        "quantity": 3,
        "gross_amount": Decimal("30.00"),
        "discount_amount": Decimal("1.00"),
        "net_amount": Decimal("29.00"),
        "revenue_amount": Decimal("29.00"),
    }
    assert {name: several[name] for name in expected} == expected


def test_a_transaction_without_items_is_a_receipt(lake: ShopLake) -> None:
    row = as_row(lake, "marts.fct_receipts", "transaction_id = 302")
    assert (row["line_count"], row["quantity"]) == (0, 0)
    amounts = ("gross_amount", "discount_amount", "net_amount", "revenue_amount")
    assert [row[name] for name in amounts] == [Decimal("0.00")] * 4


def test_every_accepted_transaction_is_one_receipt(lake: ShopLake) -> None:
    accepted = "select transaction_id from intermediate.int_shop__transactions_accepted order by 1"
    receipts = "select transaction_id from marts.fct_receipts order by 1"
    assert lake.query(accepted) == lake.query(receipts) != []


MAY = (2, 4, Decimal("40.00"), Decimal("1.00"), Decimal("39.00"), Decimal(0), Decimal("10.00"))
JUNE = (1, 1, Decimal("10.00"), Decimal("0.05"), Decimal("9.95"), Decimal("20.00"), Decimal(0))
NOTHING_SOLD = (0, 0, Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal("10.00"), None, None)
MAY_RATIOS = (Decimal("19.500000"), Decimal("0.025000"))
JUNE_RATIOS = (Decimal("9.950000"), Decimal("0.005000"))


def test_sales_by_day_count_what_was_sold_on_it(lake: ShopLake) -> None:
    assert lake.query(
        f"select date_key, {MEASURES} from marts.fct_sales_day"
        " where date_key between 20250501 and 20250531 order by 1"
    ) == [
        (20250503, *MAY[:6], Decimal(0), *MAY_RATIOS),
        (20250504, *NOTHING_SOLD),
    ]


def test_sales_by_month_and_quarter_count_what_was_sold_in_them(lake: ShopLake) -> None:
    assert lake.query(
        f"select year_month, year, month_number, fiscal_year, fiscal_quarter, {MEASURES}"
        " from marts.fct_sales_month where year_month in ('2025-05', '2025-06') order by 1"
    ) == [
        ("2025-05", 2025, 5, 2026, 1, *MAY, *MAY_RATIOS),
        ("2025-06", 2025, 6, 2026, 1, *JUNE, *JUNE_RATIOS),
    ]
    both = tuple(may + june for may, june in zip(MAY, JUNE, strict=True))
    ratios = (Decimal("16.316667"), Decimal("0.021000"))
    assert lake.query(
        f"select year_quarter, year, quarter_of_year, {MEASURES} from marts.fct_sales_quarter"
        " where year_quarter = '2025Q2'"
    ) == [("2025Q2", 2025, 2, *both, *ratios)]


def test_sales_by_city_are_those_of_where_the_customer_lived_then(lake: ShopLake) -> None:
    both = tuple(may + june for may, june in zip(MAY, JUNE, strict=True))
    assert lake.query(
        f"select country_code, city, {MEASURES} from marts.fct_sales_city"
        " where country_code = 'SE' or city = 'Bremen'"
    ) == [("SE", "Hamburg", *both, Decimal("16.316667"), Decimal("0.021000"))]
    # Known customers without a city and customers that nobody knows.
    unknown = lake.query("select country_code from marts.fct_sales_city where city = 'unknown'")
    assert sorted(unknown) == [("DE",), ("unknown",)]


def test_sales_by_campaign_have_one_row_for_all_its_versions(lake: ShopLake) -> None:
    assert lake.query(
        "select campaign_id, campaign_name, channel, receipt_count, revenue_amount, refunded_amount"
        " from marts.fct_sales_campaign where campaign_id in (301, 310, 501) order by 1"
    ) == [
        (301, "Spring", "search", 3, Decimal(0), Decimal(0)),
        (310, None, "unknown", 1, Decimal(0), Decimal(0)),
        (501, "Renamed", "social", 2, Decimal("38.95"), Decimal("10.00")),
    ]
    named = lake.query(
        "select campaign_name, channel from marts.fct_sales_campaign where campaign_id is null"
    )
    assert named == [("no campaign", "none")]
    keys = lake.query(
        "select campaign_key = (select campaign_key from marts.dim_campaign"
        "  where campaign_id = sales.campaign_id order by valid_from desc limit 1)"
        " from marts.fct_sales_campaign as sales where campaign_id is not null"
    )
    assert {is_last for (is_last,) in keys} == {True}


def test_campaigns_have_the_versions_that_their_history_tells(lake: ShopLake) -> None:
    assert lake.query(
        "select discount_rate, channel, valid_from, valid_to, is_current from marts.dim_campaign"
        " where campaign_id = 301 order by valid_from"
    ) == [
        (Decimal("0.1000"), "email", BEGINNING, day(11, -4), False),
        (Decimal("0.2000"), "search", day(11, -4), day(13), False),
    ]
    assert lake.query(
        "select transaction_id, discount_rate from marts.fct_receipts"
        " inner join marts.dim_campaign using (campaign_key)"
        " where transaction_id between 306 and 309 order by 1"
    ) == [
        (306, Decimal("0.1000")),
        (307, Decimal("0.2000")),
        # After the deletion: the campaign as last known. 309 names one that nobody knows.
        (308, Decimal("0.2000")),
        (309, None),
    ]


def test_a_customer_is_a_prospect_active_or_lapsed(lake: ShopLake) -> None:
    rows = lake.query(
        "select customer_id, customer_status, is_deleted, receipt_count, revenue_amount,"
        " average_receipt, first_sold_at, last_sold_at, as_of from marts.fct_customer_status"
        " where customer_id between 501 and 505 or customer_id = 310 order by 1"
    )

    def at(number: int) -> datetime:
        chosen = LAPSES[number]
        return datetime(chosen.year, chosen.month, chosen.day, 1, tzinfo=UTC)

    as_of = day(10)
    first, last = RECEIPTS[0][2]["sold_at"], RECEIPTS[-1][2]["sold_at"]
    none = (Decimal("0.00"), Decimal("0.000000"))
    assert rows == [
        (310, "active", False, 2, *none, hours(0), hours(0), as_of),
        (501, "lapsed", False, 3, Decimal("48.95"), Decimal("16.316667"), first, last, as_of),
        (502, "active", False, 1, *none, at(502), at(502), as_of),
        (503, "lapsed", False, 1, *none, at(503), at(503), as_of),
        (504, "prospect", False, 0, Decimal("0.00"), None, None, None, as_of),
        (505, "active", True, 1, *none, hours(0), hours(0), as_of),
    ]


def test_every_customer_has_one_status_under_the_key_of_the_last_version(lake: ShopLake) -> None:
    assert lake.query(
        "select customer_id, max_by(customer_key, valid_from) from marts.dim_customer"
        " where customer_id is not null group by 1 order by 1"
    ) == lake.query("select customer_id, customer_key from marts.fct_customer_status order by 1")


def test_the_fiscal_year_is_named_after_the_year_it_ends_in(lake: ShopLake) -> None:
    assert lake.query(
        "select distinct month_number, fiscal_year - year, fiscal_quarter, fiscal_month"
        " from marts.dim_date order by 1"
    ) == [
        (month, 0, 4, month + 9)
        if month < FISCAL_START
        else (month, 1, (month - 1) // 3, month - 3)
        for month in range(1, 13)
    ]


def metric_sql(manifest: Mapping[str, Any], name: str, entity: str | None, group: str) -> str:
    """The query a semantic layer makes of a metric's declaration.

    Args:
        manifest: dbt's manifest.
        name: A metric of one measure.
        entity: The dimension that the group is a column of; None for the fact itself.
        group: What to group by.
    """
    models = {model["name"]: model for model in manifest["semantic_models"].values()}
    metric = manifest["metrics"][f"metric.lakehouse.{name}"]
    measure_name = metric["type_params"]["measure"]["name"]
    ((model, measure),) = [
        (model, measure)
        for model in models.values()
        for measure in model["measures"]
        if measure["name"] == measure_name
    ]

    def relation(found: Mapping[str, Any]) -> str:
        return f"{found['node_relation']['schema_name']}.{found['node_relation']['alias']}"

    def key(found: Mapping[str, Any]) -> str:
        return str(next(e["expr"] for e in found["entities"] if e["name"] == entity))

    joined = ""
    if entity:
        (other,) = [
            m
            for m in models.values()
            if any(e["name"] == entity and e["type"] == "primary" for e in m["entities"])
        ]
        joined = f" inner join {relation(other)} as other on fact.{key(model)} = other.{key(other)}"
    columns = f"{group} as grp, {measure['agg']}({measure['expr']}) as value"
    return f"select {columns} from (select * from {relation(model)}) as fact{joined} group by 1"


@pytest.mark.parametrize(
    ("entity", "group", "rollup", "key"),
    [
        (None, "strftime(sold_at, '%Y%m%d')::int", "fct_sales_day", "date_key"),
        (None, "strftime(sold_at, '%Y-%m')", "fct_sales_month", "year_month"),
        (None, "year(sold_at) || 'Q' || quarter(sold_at)", "fct_sales_quarter", "year_quarter"),
        (
            "customer",
            "country_code || coalesce(city, 'unknown')",
            "fct_sales_city",
            "country_code || city",
        ),
        (
            "campaign",
            "coalesce(other.campaign_id, -1)",
            "fct_sales_campaign",
            "coalesce(campaign_id, -1)",
        ),
    ],
)
def test_a_roll_up_holds_the_numbers_that_the_metrics_declare(
    lake: ShopLake, entity: str | None, group: str, rollup: str, key: str
) -> None:
    manifest = json.loads((lake.target / "manifest.json").read_text(encoding="utf-8"))
    simple, ratios = {}, {}
    for metric in manifest["metrics"].values():
        if metric["type"] == "simple":
            simple[metric["name"]] = dict(
                lake.query(metric_sql(manifest, metric["name"], entity, group))
            )
        else:
            parts = metric["type_params"]
            ratios[metric["name"]] = parts["numerator"]["name"], parts["denominator"]["name"]
    assert {"revenue", "receipts"} <= set(simple)
    assert {"average_receipt", "discount_rate"} == set(ratios)
    for metric in manifest["metrics"].values():
        column, name = metric["config"]["meta"]["column"], metric["name"]
        found = dict(lake.query(f"select {key}, {column} from marts.{rollup}"))
        assert len(found) > 1
        if name in simple:
            assert found == simple[name], name
            continue
        above, below = (simple[part] for part in ratios[name])
        for row in found:
            expected = (
                (Decimal(above[row]) / below[row]).quantize(Decimal("0.000001"), ROUND_HALF_UP)
                if below[row]
                else None
            )
            assert found[row] == expected, (name, row)


def test_only_completed_sales_are_revenue(lake: ShopLake) -> None:
    """A pending sale may still be cancelled; the money of a refunded one went back."""
    assert lake.query(
        "select status, net_amount, revenue_amount from marts.fct_sales"
        " where transaction_id in (1, 15, 16) order by transaction_item_id"
    ) == [
        ("completed", Decimal("10.00"), Decimal("10.00")),
        ("completed", Decimal("20.00"), Decimal("20.00")),
        ("refunded", Decimal("9.00"), Decimal("0.00")),
        ("pending", Decimal("9.00"), Decimal("0.00")),
    ]


def test_members_of_different_dimensions_never_share_a_key(lake: ShopLake) -> None:
    """So that a fact whose keys are swapped fails its relationship tests."""
    keys = lake.query(
        "select customer_key from marts.dim_customer where customer_id = 401 union all"
        " select product_key from marts.dim_product where product_id = 401 union all"
        " select campaign_key from marts.dim_campaign where campaign_id = 401"
    )
    assert len(set(keys)) == 3


def test_no_campaign_is_not_the_unknown_campaign(lake: ShopLake) -> None:
    assert lake.query(
        "select member_kind, campaign_name, channel, discount_rate, campaign_key"
        " from marts.dim_campaign where campaign_id is null order by 1"
    ) == [
        ("none", "no campaign", "none", Decimal("0.0000"), "0" * 31 + "1"),
        ("unknown", None, "unknown", None, "0" * 32),
    ]
