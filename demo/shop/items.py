"""The lines of transactions: how many, which products, what they cost.

Used alike by the seeded history and by a simulated day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from demo.shop.load import Bools, Floats, Ints, money

# Of one to eight lines; the mean is 2.5.
_LINE_SHARES = (0.34, 0.26, 0.17, 0.11, 0.06, 0.03, 0.02, 0.01)
_MOST_RETAIL, _MOST_WHOLESALE = 6, 20


@dataclass(slots=True)
class Items:
    """Columns of items; ``sale`` and ``product`` are indexes, money is in cents."""

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
        """Sum of the lines per sale in cents, for so many sales."""
        sums = np.zeros(sales, dtype=np.int64)
        np.add.at(sums, self.sale, self.amount)
        return sums

    def to_arrow(self, item_ids: Ints, sale_ids: Ints, product_ids: Ints) -> Any:
        """The table as it is loaded, without its stamps.

        Args:
            item_ids: Key of each item.
            sale_ids: Key of each sale, by its index.
            product_ids: Key of each product, by its index.
        """
        return pa.table(
            {
                "transaction_item_id": pa.array(item_ids),
                "transaction_id": pa.array(sale_ids[self.sale]),
                "line_number": pa.array(self.line),
                "product_id": pa.array(product_ids[self.product]),
                "quantity": pa.array(self.quantity),
                "unit_price": money(self.price),
                "discount_amount": money(self.discount),
                "line_amount": money(self.amount),
            }
        )


def draw_items(
    is_business: Bools,
    rate: Ints,
    popularity: Floats,
    price_of: Callable[[Ints, Ints], Ints],
    random: np.random.Generator,
) -> Items:
    """Draw the lines of some sales.

    Args:
        is_business: Per sale, whether its customer buys for a business, so in larger quantities.
        rate: Per sale, the discount in ten-thousandths.
        popularity: Weight per product, at least one of them above 0.
        price_of: The price in cents, from the sale's and the product's index of each line.
        random: Source of all draws.
    """
    sales = len(rate)
    lines = random.choice(len(_LINE_SHARES), sales, p=_LINE_SHARES) + 1
    sale = np.repeat(np.arange(sales), lines)
    first = np.repeat(np.cumsum(lines) - lines, lines)
    product = pick(popularity, len(sale), random)
    retail = np.minimum(random.geometric(0.65, len(sale)), _MOST_RETAIL)
    wholesale = random.integers(1, _MOST_WHOLESALE + 1, len(sale))
    quantity = np.where(is_business[sale], wholesale, retail)
    price = price_of(sale, product)
    return Items(
        sale=sale,
        line=np.arange(len(sale)) - first + 1,
        product=product,
        quantity=quantity,
        price=price,
        discount=discount_of(quantity, price, rate[sale]),
    )


def discount_of(quantity: Ints, price: Ints, rate: Ints) -> Ints:
    """What a campaign takes off a line, in cents; half a cent goes up."""
    return (quantity * price * rate + 5_000) // 10_000


def pick(weight: Floats, count: int, random: np.random.Generator) -> Ints:
    """Indexes drawn with these weights."""
    bounds = np.cumsum(weight)
    found: Ints = np.searchsorted(bounds, random.random(count) * bounds[-1], side="right")
    return found
