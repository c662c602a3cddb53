"""New rows of a simulated day: customers, a campaign when none runs, sales, and late sales."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from demo.shop.catalog import CHANNELS
from demo.shop.day import LATE_DAYS, Day, reserve_ids
from demo.shop.items import draw_items, pick
from demo.shop.load import DAY, Floats, Ints, choose, copy_rows, money, or_null, timestamps
from demo.shop.people import make_texts
from demo.shop.sales import COMPLETED, PAYMENTS, PENDING, STATUSES, draw_payments
from lakehouse.progress import Advance

_NEWCOMERS_PER_SALE, _LEAST_NEWCOMERS = 1 / 12, 2
_LATE_PER_SALE, _LEAST_LATE = 1 / 20, 2
_BUSINESS_SHARE, _CAMPAIGN_SHARE, _PENDING_SHARE = 0.12, 0.35, 0.2
_CAMPAIGN_DAYS = 20

_NEW_CAMPAIGN = """
    insert into shop.campaigns
    (campaign_id, campaign_name, channel, discount_rate, starts_on, ends_on, created_at)
    values (%s, %s, %s, %s::numeric / 10000, %s, %s, %s)
"""


@dataclass(slots=True)
class _Basket:
    """Who buys when: columns customer id, whether business, moment, status."""

    customer: list[Ints] = field(default_factory=list)
    is_business: list[Ints] = field(default_factory=list)
    sold: list[Ints] = field(default_factory=list)
    status: list[Ints] = field(default_factory=list)

    def add(self, customers: Ints, sold: Ints, status: Ints) -> None:
        self.customer.append(customers[:, 0])
        self.is_business.append(customers[:, 1])
        self.sold.append(sold)
        self.status.append(status)


def add_rows(day: Day, progress: Advance | None) -> dict[str, int]:
    """Insert the day's new rows.

    Args:
        day: The state before it.
        progress: Told about inserted rows.

    Returns:
        Number of rows per kind.
    """
    campaigns = _start_campaign(day)
    basket = _Basket()
    regulars = day.customer_weights() * day.arrived_before(day.since)
    newcomers = _add_customers(day, progress)
    sellable = len(day.products) > 0
    late = 0
    if sellable:
        _visit(day, basket, newcomers, regulars)
        late = _visit_late(day, basket)
    transactions, items = _add_sales(day, basket, progress)
    return {
        "customers_added": len(newcomers),
        "campaigns_added": campaigns,
        "transactions_added": transactions - late,
        "transactions_added_late": late,
        "items_added": items,
    }


def _start_campaign(day: Day) -> int:
    if (day.campaigns[:, 3] >= day.today).any():
        return 0
    campaign_id = int(reserve_ids(day.connection, "campaigns", "campaign_id", 1)[0])
    first, last = day.since // DAY, day.today + _CAMPAIGN_DAYS
    rate = int(day.random.integers(1, 6)) * 500
    channel = CHANNELS[int(day.random.integers(0, len(CHANNELS)))]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    days = [(epoch + timedelta(days=number)).date() for number in (first, last)]
    created = epoch + timedelta(microseconds=day.since)
    name = f"Follow-up {campaign_id:03d}"
    values = (campaign_id, name, channel, rate, *days, created)
    day.connection.execute(_NEW_CAMPAIGN, values)
    row = np.array([[campaign_id, rate, first, last]], dtype=np.int64)
    day.campaigns = np.concatenate((day.campaigns, row))
    return 1


def _add_customers(day: Day, progress: Advance | None) -> Ints:
    """Insert newcomers; returns their columns like ``Day.customers``."""
    count = max(_LEAST_NEWCOMERS, round(day.sales * _NEWCOMERS_PER_SALE))
    ids = reserve_ids(day.connection, "customers", "customer_id", count)
    is_business = (day.random.random(count) < _BUSINESS_SHARE).astype(np.int64)
    arrived = day.moments(count)
    texts = make_texts(ids.tolist(), day.seed, day.random)
    columns: dict[str, Any] = {"customer_id": pa.array(ids)}
    columns |= {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns["segment"] = choose(["consumer", "business"], is_business)
    columns["created_at"] = timestamps(arrived)
    copy_rows(day.connection, "customers", pa.table(columns), progress)
    return np.column_stack((ids, is_business, arrived))


def _visit(day: Day, basket: _Basket, newcomers: Ints, regulars: Floats) -> None:
    """Sales between the last one so far and now."""
    first_time = newcomers[day.random.random(len(newcomers)) < 0.7]
    # Between arrival and now.
    waited = day.random.random(len(first_time)) * (day.now - first_time[:, 2])
    status = _fresh_status(day, len(first_time))
    basket.add(first_time, first_time[:, 2] + waited.astype(np.int64), status)
    count = max(day.sales - len(first_time), 0)
    if regulars.sum() > 0:
        chosen = day.customers[pick(regulars, count, day.random)]
        basket.add(chosen, day.moments(count), _fresh_status(day, count))


def _fresh_status(day: Day, count: int) -> Ints:
    return np.where(day.random.random(count) < _PENDING_SHARE, PENDING, COMPLETED)


def _visit_late(day: Day, basket: _Basket) -> int:
    """Sales of the days before, by customers who were there already, that arrive only now."""
    known = day.arrived_before((day.today - LATE_DAYS) * DAY)
    if not known.any():
        return 0
    count = max(_LEAST_LATE, round(day.sales * _LATE_PER_SALE))
    chosen = day.customers[pick(known.astype(np.float64), count, day.random)]
    ago = day.random.integers(0, LATE_DAYS * DAY, count)
    basket.add(chosen, day.today * DAY - 1 - ago, np.full(count, COMPLETED))
    return count


def _add_sales(day: Day, basket: _Basket, progress: Advance | None) -> tuple[int, int]:
    count = sum(map(len, basket.sold))
    if count == 0:
        return 0, 0
    customer, sold = np.concatenate(basket.customer), np.concatenate(basket.sold)
    is_business = np.concatenate(basket.is_business) == 1
    campaign, rate = _campaigns_at(day, sold)
    prices = day.products[:, 1]
    items = draw_items(
        is_business, rate, day.product_weights(), lambda _, product: prices[product], day.random
    )
    sale_ids = reserve_ids(day.connection, "transactions", "transaction_id", count)
    rows = pa.table(
        {
            "transaction_id": pa.array(sale_ids),
            "customer_id": pa.array(customer),
            "campaign_id": or_null(campaign),
            "sold_at": timestamps(sold),
            "status": choose(STATUSES, np.concatenate(basket.status)),
            "payment_method": choose(PAYMENTS, draw_payments(is_business, day.random)),
            "total_amount": money(items.totals(count)),
        }
    )
    copy_rows(day.connection, "transactions", rows, progress)
    lines = len(items.sale)
    item_ids = reserve_ids(day.connection, "transaction_items", "transaction_item_id", lines)
    rows = items.to_arrow(item_ids, sale_ids, day.products[:, 0])
    copy_rows(day.connection, "transaction_items", rows, progress)
    return count, lines


def _campaigns_at(day: Day, sold: Ints) -> tuple[Ints, Ints]:
    """Per sale the id and the rate of a campaign of its day, for some; else 0."""
    date = sold // DAY
    campaign, rate = np.zeros(len(sold), dtype=np.int64), np.zeros(len(sold), dtype=np.int64)
    takes_part = day.random.random(len(sold)) < _CAMPAIGN_SHARE
    for campaign_id, its_rate, first, last in day.campaigns.tolist():
        fits = takes_part & (date >= first) & (date <= last)
        campaign[fits], rate[fits] = campaign_id, its_rate
    return campaign, rate
