"""Changes of a simulated day to rows that are there: moves, prices, corrections, deletes.

Every kind takes transactions of its own, so that the counts of the kinds add up per table.
"""

from typing import Any

import numpy as np

from demo.shop.day import Day
from demo.shop.items import discount_of
from demo.shop.load import Ints
from demo.shop.people import make_address
from demo.shop.places import COUNTRIES

_MOVE_SHARE, _PRICE_SHARE, _PENDING_SHARE = 0.01, 0.01, 0.7
_CORRECTIONS_PER_SALE, _REFUNDS_PER_SALE, _VOIDS_PER_SALE = 1 / 20, 1 / 60, 1 / 40
_RECENT = 2_000

_ADDRESSES = """
    update shop.customers
    set street = new.street, postal_code = new.postal_code, city = new.city
    from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[])
        as new (customer_id, street, postal_code, city)
    where customers.customer_id = new.customer_id
"""
_PRICES = """
    update shop.products
    set unit_price = new.cents::numeric / 100
    from unnest(%s::bigint[], %s::bigint[]) as new (product_id, cents)
    where products.product_id = new.product_id
"""
_STATUS = "update shop.transactions set status = %s where transaction_id = any(%s)"
_PENDING = """
    select transaction_id from shop.transactions where status = 'pending' order by transaction_id
"""
_COMPLETED = """
    select transaction_id from shop.transactions
    where status = 'completed'
    order by transaction_id desc
    limit %s
"""
_FIRST_ITEMS = """
    select distinct on (transaction_id)
        transaction_item_id, transaction_id, quantity, (unit_price * 100)::bigint,
        (discount_amount * 100)::bigint, (coalesce(discount_rate, 0) * 10000)::bigint
    from shop.transaction_items
    inner join shop.transactions using (transaction_id)
    left join shop.campaigns using (campaign_id)
    where transaction_id = any(%s) and quantity > 0
    order by transaction_id, line_number
"""
_CORRECT_ITEMS = """
    update shop.transaction_items
    set quantity = new.quantity, discount_amount = new.discount::numeric / 100,
        line_amount = (new.quantity * (unit_price * 100) - new.discount) / 100
    from unnest(%s::bigint[], %s::integer[], %s::bigint[])
        as new (transaction_item_id, quantity, discount)
    where transaction_items.transaction_item_id = new.transaction_item_id
"""
# By the difference: a header that was off stays off by as much.
_CORRECT_TOTALS = """
    update shop.transactions
    set total_amount = total_amount + new.cents::numeric / 100
    from unnest(%s::bigint[], %s::bigint[]) as new (transaction_id, cents)
    where transactions.transaction_id = new.transaction_id
"""
_VOID_ITEMS = "delete from shop.transaction_items where transaction_id = any(%s)"
_VOID = "delete from shop.transactions where transaction_id = any(%s)"
# One who nobody else is just changing.
_DELETE_CUSTOMER = """
    delete from shop.customers
    where customer_id in (
        select customer_id
        from shop.customers
        where
            created_at <= to_timestamp(%s::double precision)
            and not exists (
                select from shop.transactions
                where transactions.customer_id = customers.customer_id
            )
        order by customer_id
        limit 1
        for update skip locked
    )
    returning customer_id
"""


def change_rows(day: Day) -> dict[str, int]:
    """Change and delete rows.

    Args:
        day: The state of the shop; a deleted customer is taken out of it. Prices in it stay as they
            were: what the day sells is sold before they change.

    Returns:
        Number of rows per kind.
    """
    # Read before anything changes, so that every kind draws from the same state.
    pending = _ids(day, _PENDING, ())
    completed = day.random.permutation(_ids(day, _COMPLETED, (_RECENT,)))
    corrected = _take(completed, day.sales * _CORRECTIONS_PER_SALE)
    refunded = _take(completed[len(corrected) :], day.sales * _REFUNDS_PER_SALE)
    voided = _take(completed[len(corrected) + len(refunded) :], day.sales * _VOIDS_PER_SALE)
    paid = _take(day.random.permutation(pending), len(pending) * _PENDING_SHARE)
    return {
        "customers_deleted": _delete_customer(day),
        "addresses_changed": _move_customers(day),
        "prices_changed": _change_prices(day),
        "quantities_corrected": _correct_quantities(day, corrected),
        "pending_completed": _run(day, _STATUS, "completed", paid.tolist()),
        "transactions_refunded": _run(day, _STATUS, "refunded", refunded.tolist()),
        "items_voided": _run(day, _VOID_ITEMS, voided.tolist()),
        "transactions_voided": _run(day, _VOID, voided.tolist()),
    }


def _run(day: Day, statement: str, *values: Any) -> int:
    return max(day.connection.execute(statement.encode(), values).rowcount, 0)


def _ids(day: Day, query: str, values: tuple[Any, ...]) -> Ints:
    rows = day.connection.execute(query.encode(), values).fetchall()
    return np.array([row[0] for row in rows], dtype=np.int64)


def _take(ids: Ints, count: float) -> Ints:
    return ids[: max(1, round(count))]


def _delete_customer(day: Day) -> int:
    gone = _ids(day, _DELETE_CUSTOMER, (day.since / 1_000_000,))
    day.customers = day.customers[~np.isin(day.customers[:, 0], gone)]
    return len(gone)


def _move_customers(day: Day) -> int:
    query = "select customer_id, country_code from shop.customers order by customer_id"
    rows = day.connection.execute(query).fetchall()
    movers = _take(day.random.permutation(len(rows)), len(rows) * _MOVE_SHARE)
    draws = day.random.integers(0, 2**31, (len(movers), 2)).tolist()
    chosen = [rows[at] for at in movers.tolist()]
    fallback = next(iter(COUNTRIES))
    addresses = [
        make_address(code if code in COUNTRIES else fallback, street, place, day.seed)
        for (_, code), (street, place) in zip(chosen, draws, strict=True)
    ]
    ids = [customer_id for customer_id, _ in chosen]
    columns = [[address[part] for address in addresses] for part in range(3)]
    return _run(day, _ADDRESSES, ids, *columns)


def _change_prices(day: Day) -> int:
    chosen = _take(day.random.permutation(day.products), len(day.products) * _PRICE_SHARE)
    ids, old = chosen[:, 0], chosen[:, 1]
    # From a tenth less to a sixth more, but never the same and never below a cent.
    new = old * day.random.integers(900, 1_160, len(chosen)) // 1_000
    new = np.maximum(np.where(new == old, old + 1, new), 1)
    return _run(day, _PRICES, ids.tolist(), new.tolist())


def _correct_quantities(day: Day, transactions: Ints) -> int:
    rows = day.connection.execute(_FIRST_ITEMS, (transactions.tolist(),)).fetchall()
    items = np.array(rows, dtype=np.int64).reshape(-1, 6)
    item, transaction, quantity, price, discount, rate = items.T
    step = np.where(day.random.random(len(items)) < 0.5, 1, -1)
    corrected = np.where(quantity + step > 0, quantity + step, quantity + 1)
    # A line that does not follow its campaign keeps its own rate.
    own = (2 * discount * corrected + quantity) // (2 * quantity)
    follows = discount == discount_of(quantity, price, rate)
    new_discount = np.where(follows, discount_of(corrected, price, rate), own)
    difference = (corrected - quantity) * price - (new_discount - discount)
    values = (item.tolist(), corrected.tolist(), new_discount.tolist())
    changed = _run(day, _CORRECT_ITEMS, *values)
    _run(day, _CORRECT_TOTALS, transaction.tolist(), difference.tolist())
    return changed
