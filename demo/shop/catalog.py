"""The seeded products and campaigns.

Numpy columns in the order of their ids.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from demo.shop.load import DAY, SECOND, Ints, choose, dates, generator, money, rates, timestamps

_PRODUCT_STREAM, _CAMPAIGN_STREAM = 2, 3
CHANNELS = ["email", "search", "social", "store"]
_RATES = np.array([500, 1_000, 1_500, 2_000, 2_500, 3_000])
_THEMES = ("Welcome", "Clearance", "Members", "New Range", "Bundle", "Anniversary", "Weekend")
_KINDS = (
    "Classic",
    "Compact",
    "Deluxe",
    "Eco",
    "Light",
    "Pro",
    "Smart",
    "Solid",
    "Travel",
    "Urban",
)

# Name, typical price in cents, nouns.
CATEGORIES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("Kitchen", 3_900, ("Kettle", "Pan", "Knife Set", "Mixer", "Toaster")),
    ("Home Office", 12_900, ("Desk", "Chair", "Lamp", "Monitor Arm", "Shelf")),
    ("Garden", 4_900, ("Hose", "Trimmer", "Planter", "Bench", "Grill")),
    ("Sports", 5_900, ("Mat", "Bottle", "Helmet", "Racket", "Backpack")),
    ("Toys", 2_400, ("Puzzle", "Train Set", "Plush Bear", "Board Game", "Kite")),
    ("Beauty", 1_900, ("Brush", "Mirror", "Dryer", "Perfume", "Cream")),
    ("Electronics", 22_900, ("Headphones", "Speaker", "Tablet", "Camera", "Router")),
    ("Stationery", 900, ("Notebook", "Pen Set", "Calendar", "Folder", "Marker")),
)


@dataclass(slots=True)
class Products:
    """Columns of the products.

    Attributes:
        price: What a product costs now, in cents.
        old_price: What it cost before ``repriced`` days before the end of the history, in cents.
        age: Microseconds between the first offer and the end of the history.
    """

    category: Ints
    name: list[str]
    sku: list[str]
    price: Ints
    old_price: Ints
    repriced: Ints
    is_active: Ints
    age: Ints

    def to_arrow(self, until: int) -> Any:
        """The table as it is loaded; ``until`` in microseconds since 1970."""
        created = timestamps(until - self.age)
        return pa.table(
            {
                "product_id": pa.array(np.arange(1, len(self.price) + 1)),
                "sku": pa.array(self.sku),
                "product_name": pa.array(self.name),
                "category": choose([name for name, _, _ in CATEGORIES], self.category),
                "unit_price": money(self.price),
                "is_active": pa.array(self.is_active == 1),
                "created_at": created,
                "updated_at": created,
            }
        )


def make_products(count: int, days: int, seed: int) -> Products:
    """Draw products, all of them on offer before the first sale.

    Args:
        count: How many.
        days: Length of the sales history.
        seed: Decides everything.
    """
    random = generator(seed, _PRODUCT_STREAM)
    category = random.integers(0, len(CATEGORIES), count)
    typical = np.array([price for _, price, _ in CATEGORIES])[category]
    # Prices end on 9, 49 or 99 cents.
    raw = typical * np.exp(random.normal(0, 0.5, count))
    price = np.maximum(raw.astype(np.int64) // 50 * 50 - 1, 49)
    nouns = random.integers(0, 5, count).tolist()
    kinds = random.integers(0, len(_KINDS), count).tolist()
    name, sku = [], []
    for at, group in enumerate(category.tolist()):
        title, _, words = CATEGORIES[group]
        name.append(f"{_KINDS[kinds[at]]} {words[nouns[at]]} {100 + at}")
        sku.append(f"{title[:3].upper()}-{at + 1:05d}")
    return Products(
        category=category,
        name=name,
        sku=sku,
        price=price,
        old_price=np.maximum(price * random.integers(86, 101, count) // 100, 1),
        repriced=random.integers(1, days, count),
        is_active=(random.random(count) < 0.96).astype(np.int64),
        age=(days + 5) * DAY + random.integers(0, days * DAY, count),
    )


@dataclass(slots=True)
class Campaigns:
    """Columns of the campaigns.

    Attributes:
        starts: First day, counted from the first day of the history.
        ends: Last day, counted alike; the last campaigns outlive the history.
        rate: Discount in ten-thousandths.
        lead: Microseconds between a campaign's entry and the start of its first day.
    """

    channel: Ints
    name: list[str]
    starts: Ints
    ends: Ints
    rate: Ints
    lead: Ints

    def to_arrow(self, until: int, days: int) -> Any:
        """The table as it is loaded; ``until`` in microseconds since 1970."""
        first_day = until // DAY - days
        created = timestamps((first_day + self.starts) * DAY - self.lead)
        return pa.table(
            {
                "campaign_id": pa.array(np.arange(1, len(self.rate) + 1)),
                "campaign_name": pa.array(self.name),
                "channel": choose(CHANNELS, self.channel),
                "discount_rate": rates(self.rate),
                "starts_on": dates(first_day + self.starts),
                "ends_on": dates(first_day + self.ends),
                "created_at": created,
                "updated_at": created,
            }
        )


def make_campaigns(count: int, days: int, seed: int) -> Campaigns:
    """Draw campaigns that follow and overlap each other through the history.

    Args:
        count: How many.
        days: Length of the history.
        seed: Decides everything.
    """
    random = generator(seed, _CAMPAIGN_STREAM)
    starts = np.linspace(10, days - 5, count).astype(np.int64)
    lengths = random.integers(10, 29, count)
    themes = random.integers(0, len(_THEMES), count).tolist()
    return Campaigns(
        channel=random.integers(0, len(CHANNELS), count),
        name=[f"{_THEMES[theme]} {at + 1:03d}" for at, theme in enumerate(themes)],
        starts=starts,
        ends=starts + lengths,
        rate=_RATES[random.integers(0, len(_RATES), count)],
        lead=random.integers(5 * DAY, 20 * DAY, count) // SECOND * SECOND,
    )
