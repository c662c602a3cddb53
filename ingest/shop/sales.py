"""The seeded transactions and their items.

Numpy columns in the order of their ids, which is the order in time. Every draw is made on days
counted from the first day of the history, never on the calendar.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.shop.catalog import Campaigns, Products
from ingest.shop.load import (
    DAY,
    SECOND,
    Floats,
    Ints,
    choose,
    generator,
    money,
    or_null,
    timestamps,
)
from ingest.shop.people import Customers

_STREAM = 4
STATUSES = ["completed", "pending", "refunded"]
COMPLETED, PENDING, REFUNDED = range(3)
PAYMENTS = ["card", "transfer", "cash", "wallet"]
_PAYMENT_SHARES = {False: (0.55, 0.10, 0.12, 0.23), True: (0.30, 0.62, 0.01, 0.07)}
# Of one to eight lines; the mean is 2.5.
_LINE_SHARES = (0.34, 0.26, 0.17, 0.11, 0.06, 0.03, 0.02, 0.01)
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


@dataclass(slots=True)
class Items:
    """Columns of the items; ``sale`` and ``product`` are indexes, money is in cents."""

    sale: Ints
    line: Ints
    product: Ints
    quantity: Ints
    price: Ints
    discount: Ints

    @property
    def amount(self) -> Ints:
        """What a line costs in cents."""
        return self.quantity * self.price - self.discount

    def totals(self, sales: int) -> Ints:
        """Sum of the lines per sale in cents."""
        sums = np.zeros(sales, dtype=np.int64)
        np.add.at(sums, self.sale, self.amount)
        return sums

    def to_arrow(self, start: int, sales: Sales) -> Any:
        """The table as it is loaded; ``start`` of the history in microseconds since 1970."""
        created = timestamps((start + sales.sold + sales.entered)[self.sale])
        return pa.table(
            {
                "transaction_item_id": pa.array(np.arange(1, len(self.sale) + 1)),
                "transaction_id": pa.array(self.sale + 1),
                "line_number": pa.array(self.line),
                "product_id": pa.array(self.product + 1),
                "quantity": pa.array(self.quantity),
                "unit_price": money(self.price),
                "discount_amount": money(self.discount),
                "line_amount": money(self.amount),
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
        payment=_payments(is_business, random),
        total=np.zeros(count, dtype=np.int64),
    )
    items = _items(days - day, is_business, sales.campaign, products, campaigns, random)
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
    weight *= (1 - unsold) * (random.random(len(customers)) < 0.93)
    customer = _pick(weight, count, random)
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


def _pick(weight: Floats, count: int, random: np.random.Generator) -> Ints:
    bounds = np.cumsum(weight)
    if bounds[-1] <= 0:
        return random.integers(0, len(weight), count)
    return np.searchsorted(bounds, random.random(count) * bounds[-1], side="right")


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


def _payments(is_business: Any, random: np.random.Generator) -> Ints:
    draw = random.random(len(is_business))
    picked = [
        np.searchsorted(np.cumsum(_PAYMENT_SHARES[business])[:-1], draw, side="right")
        for business in (False, True)
    ]
    return np.where(is_business, picked[1], picked[0])


def _items(
    age: Ints,
    is_business: Any,
    campaign: Ints,
    products: Products,
    campaigns: Campaigns,
    random: np.random.Generator,
) -> Items:
    lines = random.choice(len(_LINE_SHARES), len(age), p=_LINE_SHARES) + 1
    sale = np.repeat(np.arange(len(age)), lines)
    first = np.repeat(np.cumsum(lines) - lines, lines)
    popularity = 1 / (random.permutation(len(products.price)).astype(np.float64) + 3)
    product = _pick(popularity, len(sale), random)
    retail = np.minimum(random.geometric(0.65, len(sale)), 6)
    wholesale = random.integers(1, 21, len(sale))
    quantity = np.where(is_business[sale], wholesale, retail)
    is_old = age[sale] > products.repriced[product]
    price = np.where(is_old, products.old_price[product], products.price[product])
    rate = np.concatenate(([0], campaigns.rate))[campaign[sale]]
    return Items(
        sale=sale,
        line=np.arange(len(sale)) - first + 1,
        product=product,
        quantity=quantity,
        price=price,
        discount=(quantity * price * rate + 5_000) // 10_000,
    )
