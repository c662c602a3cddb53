"""The demo's source: a small shop in PostgreSQL, seeded once and then living day by day.

Here belong its schema, its generator and its simulator. Here does not belong anything that reads
from it: the extractor treats it like any other database.
"""

from demo.shop.connection import ShopError
from demo.shop.schema import create_schema, has_shop, is_filled
from demo.shop.seeding import SeedReport, seed
from demo.shop.simulation import DayReport, simulate_day

__all__ = [
    "DayReport",
    "SeedReport",
    "ShopError",
    "create_schema",
    "has_shop",
    "is_filled",
    "seed",
    "simulate_day",
]
