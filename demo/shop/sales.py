"""The seeded transactions: who buys when, under which campaign, paying how.

Numpy columns in the order of their ids, which is the order in time. Every draw is made on days
counted from the first day of the history, never on the calendar.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from demo.shop.catalog import Campaigns, Products
from demo.shop.items import Items, draw_items, pick
from demo.shop.load import (
    DAY,
    SECOND,
    Bools,
    Floats,
    Ints,
    choose,
    generator,
    money,
    or_null,
    timestamps,
)
from demo.shop.people import Customers

_STREAM = 4
STATUSES = ["completed", "pending", "refunded"]
COMPLETED, PENDING, REFUNDED = range(3)
PAYMENTS = ["card", "transfer", "cash", "wallet"]
_PAYMENT_SHARES = {False: (0.55, 0.10, 0.12, 0.23), True: (0.30, 0.62, 0.01, 0.07)}
# Not zero, so that a handful of customers always has a buyer among them.
_NEVER_BUYS_SHARE, _ALMOST_NEVER = 0.07, 1e-12
_CAMPAIGN_SHARE, _REFUNDED_SHARE = 0.45, 0.03
_PENDING_DAYS, _PENDING_SHARE = 3, 0.5
_OPENS, _OPEN_SECONDS = 6 * 3_600, 17 * 3_600


@dataclass(slots=True)
class Sales:
    """Columns of the transactions.

    Attributes:
        customer: Index of the customer; the id is one more.
        campaign: Id of the campaign, 0 for none.
        sold: Microseconds since the start of the history.
        entered: Microseconds from the sale to its row.
        total: Sum of the lines in cents.
    """

    customer: Ints
    campaign: Ints
    sold: Ints
    entered: Ints
    status: Ints
    payment: Ints
    total: Ints

    def to_arrow(self, start: int) -> Any:
        """The table as it is loaded; ``start`` of the history in microseconds since 1970."""
        created = timestamps(start + self.sold + self.entered)
        return pa.table(
            {
                "transaction_id": pa.array(np.arange(1, len(self.sold) + 1)),
                "customer_id": pa.array(self.customer + 1),
                "campaign_id": or_null(self.campaign),
                "sold_at": timestamps(start + self.sold),
                "status": choose(STATUSES, self.status),
                "payment_method": choose(PAYMENTS, self.payment),
                "total_amount": money(self.total),
                "created_at": created,
                "updated_at": created,
            }
        )


def make_sales(
    count: int,
    days: int,
    customers: Customers,
    products: Products,
    campaigns: Campaigns,
    seed: int,
) -> tuple[Sales, Items]:
    """Draw transactions with their items.

    Args:
        count: How many transactions.
        days: Length of the history.
        customers: None buys before arriving.
        products: Few of them make most of the sales.
        campaigns: They discount what is sold on their days.
        seed: Decides everything.
    """
    random = generator(seed, _STREAM)
    customer, day = _who_and_when(count, days, customers, random)
    second = _OPENS + (_OPEN_SECONDS * random.beta(2, 2, count)).astype(np.int64)
    order = np.lexsort((customer, second, day))
    customer, day, second = customer[order], day[order], second[order]
    is_business = customers.is_business[customer] == 1
    sales = Sales(
        customer=customer,
        campaign=_campaigns_of(day, days, campaigns, random),
        sold=day * DAY + second * SECOND,
        entered=random.integers(SECOND // 5, 90 * SECOND, count),
        status=_statuses(day, days, random),
        payment=draw_payments(is_business, random),
        total=np.zeros(count, dtype=np.int64),
    )
    age = days - day

    def price_of(sale: Ints, product: Ints) -> Ints:
        is_old = age[sale] > products.repriced[product]
        return np.where(is_old, products.old_price[product], products.price[product])

    rate = np.concatenate(([0], campaigns.rate))[sales.campaign]
    popularity = 1 / (random.permutation(len(products.price)).astype(np.float64) + 3)
    items = draw_items(is_business, rate, popularity, price_of, random)
    sales.total = items.totals(count)
    return sales, items


def _who_and_when(
    count: int, days: int, customers: Customers, random: np.random.Generator
) -> tuple[Ints, Ints]:
    until_day = _share_sold_until(days)
    # The first day on which a customer buys is the one after the day of arrival.
    first_day = np.clip(days - customers.age // DAY, 0, days - 1)
    unsold = until_day[first_day]
    # A few regulars, a long tail of buyers, and some who registered and never bought.
    rank = random.permutation(len(customers)).astype(np.float64)
    weight = 1 / (rank + 0.02 * len(customers) + 1)
    never_buys = random.random(len(customers)) < _NEVER_BUYS_SHARE
    weight *= (1 - unsold) * np.where(never_buys, _ALMOST_NEVER, 1)
    customer = pick(weight, count, random)
    position = unsold[customer] + (1 - unsold[customer]) * random.random(count)
    day = np.searchsorted(until_day, position, side="right") - 1
    return customer, np.clip(day, first_day[customer], days - 1)


def _share_sold_until(days: int) -> Floats:
    """Share of all sales before each day: growth, two seasons a year, a yearly peak."""
    day = np.arange(days)
    phase = 2 * np.pi * (days - day) / 365
    weight = (1 + 0.6 * day / days) * (1 + 0.15 * np.sin(phase) + 0.1 * np.sin(2 * phase))
    weight += 1.2 * (((days - day) % 365 > 25) & ((days - day) % 365 < 40))
    shares: Floats = np.concatenate(([0.0], np.cumsum(weight) / weight.sum()))[:days]
    return shares


def _campaigns_of(day: Ints, days: int, campaigns: Campaigns, random: np.random.Generator) -> Ints:
    """Id of a campaign that runs on the day, for some; else 0."""
    runs = (np.arange(days)[:, None] >= campaigns.starts) & (
        np.arange(days)[:, None] <= campaigns.ends
    )
    count = runs.sum(axis=1)
    # Per day the indexes of its campaigns, first in the row.
    listed = np.argsort(~runs, axis=1, kind="stable")
    draw, which = random.random(len(day)), random.random(len(day))
    chosen = listed[day, (which * count[day]).astype(np.int64)] + 1
    found: Ints = np.where((draw < _CAMPAIGN_SHARE) & (count[day] > 0), chosen, 0)
    return found


def _statuses(day: Ints, days: int, random: np.random.Generator) -> Ints:
    draw = random.random(len(day))
    is_recent = day >= days - _PENDING_DAYS
    is_pending = is_recent & (draw < _PENDING_SHARE)
    is_refunded = ~is_recent & (draw < _REFUNDED_SHARE)
    return np.select([is_pending, is_refunded], [PENDING, REFUNDED], COMPLETED)


def draw_payments(is_business: Bools, random: np.random.Generator) -> Ints:
    """How each customer pays, as indexes of ``PAYMENTS``."""
    draw = random.random(len(is_business))
    picked = [
        np.searchsorted(np.cumsum(_PAYMENT_SHARES[business])[:-1], draw, side="right")
        for business in (False, True)
    ]
    found: Ints = np.where(is_business, picked[1], picked[0])
    return found
