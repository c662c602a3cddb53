"""Rows that break business rules which the database itself cannot forbid, with ground truth.

Each dirty row breaks exactly one rule. Here belongs how a rule is broken; how a break is found
belongs to the warehouse, and the tests find them by queries of their own.
"""

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from demo.shop.catalog import Products
from demo.shop.items import Items
from demo.shop.load import DAY, SECOND, Ints, generator
from demo.shop.people import Customers
from demo.shop.sales import PENDING, Sales

# Rule and the table whose rows break it.
RULES = MappingProxyType(
    {
        # Not one "@" between a name and a domain with a dot, or white space somewhere.
        "customer_email_malformed": "customers",
        # "ZZ", which is no country.
        "customer_country_unknown": "customers",
        # The list price is zero or negative; the lines of past sales keep a sound price.
        "product_price_not_positive": "products",
        # total_amount is some cents off the sum of the transaction's line_amount.
        "transaction_total_mismatch": "transactions",
        # sold_at lies days before the customer's created_at.
        "transaction_before_customer": "transactions",
        # Zero or negative; line_amount and total_amount follow from it as for any other line.
        "item_quantity_not_positive": "transaction_items",
    }
)

_STREAM = 5
_NEWCOMER_DAYS, _BEFORE_DAYS = 40, 30
_UNKNOWN_COUNTRY = "ZZ"


@dataclass(slots=True)
class GroundTruth:
    """The ids of the rows that break each rule."""

    keys: dict[str, tuple[int, ...]] = field(default_factory=lambda: dict.fromkeys(RULES, ()))

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of dirty rows per table and rule."""
        found: dict[str, dict[str, int]] = {}
        for rule, table in RULES.items():
            found.setdefault(table, {})[rule] = len(self.keys[rule])
        return found

    def _note(self, rule: str, indexes: Ints) -> None:
        self.keys[rule] = tuple(sorted((indexes + 1).tolist()))


def add_dirt(
    share: float, days: int, customers: Customers, products: Products, sales: Sales, items: Items,
    seed: int,
) -> GroundTruth:  # fmt: skip
    """Break rules in place.

    Args:
        share: Share of a table's rows that break each of its rules; at least one row if above 0.
        days: Length of the history.
        customers: Changed in place, like the others.
        products: Changed last, so that no sale has a broken price.
        sales: Some totals and moments of sale.
        items: Some quantities.
        seed: Decides which rows.

    Returns:
        Which rows break which rule.
    """
    truth = GroundTruth()
    if share == 0:
        return truth
    random = generator(seed, _STREAM)
    malformed, unknown = _two_samples(len(customers), share, random)
    _break_emails(customers, malformed)
    for at in unknown.tolist():
        customers.texts["country_code"][at] = _UNKNOWN_COUNTRY
    truth._note("customer_email_malformed", malformed)
    truth._note("customer_country_unknown", unknown)

    truth._note("item_quantity_not_positive", _break_quantities(share, sales, items, random))
    mismatched = _sample(np.arange(len(sales.sold)), len(sales.sold), share, random)
    cents = random.integers(1, 100, len(mismatched))
    sales.total[mismatched] += cents * random.choice([-1, 1], len(mismatched))
    truth._note("transaction_total_mismatch", mismatched)
    early = _break_moments(share, days, customers, sales, mismatched, random)
    truth._note("transaction_before_customer", early)

    worthless, _ = _two_samples(len(products.price), share, random)
    products.price[worthless] *= -(np.arange(len(worthless)) % 2 == 0).astype(np.int64)
    truth._note("product_price_not_positive", worthless)
    return truth


def _count(rows: int, share: float) -> int:
    return max(1, round(rows * share))


def _sample(candidates: Ints, rows: int, share: float, random: np.random.Generator) -> Ints:
    count = min(_count(rows, share), len(candidates))
    return np.asarray(random.permutation(candidates)[:count], dtype=np.int64)


def _two_samples(rows: int, share: float, random: np.random.Generator) -> tuple[Ints, Ints]:
    shuffled, count = random.permutation(rows), _count(rows, share)
    return shuffled[:count], shuffled[count : 2 * count]


def _break_emails(customers: Customers, indexes: Ints) -> None:
    emails = customers.texts["email"]
    for number, at in enumerate(indexes.tolist()):
        name, _, domain = (emails[at] or "").partition("@")
        broken = (f"{name}.{domain}", f"{name}@", f"{name}@@{domain}", f"{name} @{domain}")
        emails[at] = broken[number % len(broken)]


def _break_quantities(
    share: float, sales: Sales, items: Items, random: np.random.Generator
) -> Ints:
    broken = _sample(np.arange(len(items.sale)), len(items.sale), share, random)
    items.quantity[broken] = -random.integers(0, 2, len(broken))
    items.discount[broken] = 0
    sales.total = items.totals(len(sales.sold))
    return broken


def _break_moments(
    share: float,
    days: int,
    customers: Customers,
    sales: Sales,
    taken: Ints,
    random: np.random.Generator,
) -> Ints:
    arrived = days * DAY - customers.age[sales.customer]
    # Campaigns would no longer run on the new day, and a sale that old is not pending any more.
    fit = (sales.campaign == 0) & (sales.status != PENDING) & (arrived > _NEWCOMER_DAYS * DAY)
    fit[taken] = False
    early = _sample(np.flatnonzero(fit), len(sales.sold), share, random)
    back = random.integers(1 * DAY, _BEFORE_DAYS * DAY, len(early))
    sales.sold[early] = (arrived[early] - back) // SECOND * SECOND
    return early
