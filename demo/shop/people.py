"""The seeded customers: who they are, where they live, when they came.

Numpy columns in the order of ``customer_id``, which is the order of arrival.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from demo.shop.load import DAY, SECOND, Ints, generator, timestamps
from demo.shop.places import COUNTRIES, pool

_STREAM = 1
_DOMAINS = ("example.com", "example.org", "example.net", "mail.example")
_OLD_SHARE, _BUSINESS_SHARE, _NO_PHONE_SHARE = 0.35, 0.12, 0.15
# Days before the end of the seeded history, in which the last newcomers still find time to buy.
_LAST_ARRIVAL_DAYS = 2


@dataclass(slots=True)
class Customers:
    """Columns of the customers.

    Attributes:
        texts: The text columns by name; None is NULL.
        is_business: Whether the segment is business.
        age: Microseconds between arrival and the end of the seeded history.
    """

    texts: dict[str, list[str | None]]
    is_business: Ints
    age: Ints

    def __len__(self) -> int:
        return len(self.age)

    def to_arrow(self, until: int) -> Any:
        """The table as it is loaded; ``until`` in microseconds since 1970."""
        created = timestamps(until - self.age)
        columns: dict[str, Any] = {"customer_id": pa.array(np.arange(1, len(self) + 1))}
        columns |= {name: pa.array(texts, pa.string()) for name, texts in self.texts.items()}
        segments = np.where(self.is_business == 1, "business", "consumer")
        columns["segment"] = pa.array(segments, pa.string())
        return pa.table(columns | {"created_at": created, "updated_at": created})


def make_customers(count: int, days: int, seed: int) -> Customers:
    """Draw customers.

    Args:
        count: How many.
        days: Length of the seeded sales history; some customers are older.
        seed: Decides everything.
    """
    random = generator(seed, _STREAM)
    return Customers(
        texts=make_texts(range(1, count + 1), seed, random),
        is_business=(random.random(count) < _BUSINESS_SHARE).astype(np.int64),
        age=_ages(count, days, random),
    )


def _ages(count: int, days: int, random: np.random.Generator) -> Ints:
    is_old = random.random(count) < _OLD_SHARE
    before = days * (1 + random.random(count))
    # More newcomers from year to year.
    within = days - (days - _LAST_ARRIVAL_DAYS) * random.random(count) ** 0.8
    ages: Ints = (np.where(is_old, before, within) * DAY).astype(np.int64)
    # Between 8 and 22 o'clock, to the microsecond.
    ages -= ages % DAY
    ages += 2 * 3_600 * SECOND + random.integers(0, 14 * 3_600 * SECOND, count)
    return np.sort(ages)[::-1].copy()


def make_texts(
    ids: Sequence[int], seed: int, random: np.random.Generator
) -> dict[str, list[str | None]]:
    """Names, addresses and ways to reach the customers with these ids."""
    count = len(ids)
    codes = list(COUNTRIES)
    shares = np.array([country.share for country in COUNTRIES.values()])
    picked = random.choice(len(codes), count, p=shares / shares.sum())
    draws = random.integers(0, 2**31, (count, 6)).tolist()
    has_phone = (random.random(count) >= _NO_PHONE_SHARE).tolist()
    rows = [
        _person(ids[at], codes[country], draws[at], has_phone[at], seed)
        for at, country in enumerate(picked.tolist())
    ]
    names = ("first_name", "last_name", "email", "phone", *ADDRESS_COLUMNS, "country_code")
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


ADDRESS_COLUMNS = ("street", "postal_code", "city")


def _person(
    customer_id: int, code: str, draw: list[int], has_phone: bool, seed: int
) -> tuple[str | None, ...]:
    people = pool(code, seed)
    first, first_mail = people.first_names[draw[0] % len(people.first_names)]
    last, last_mail = people.last_names[draw[1] % len(people.last_names)]
    email = f"{first_mail}.{last_mail}{customer_id}@{_DOMAINS[draw[2] % len(_DOMAINS)]}"
    phone = f"+{COUNTRIES[code].prefix}{draw[3] % 10**9:09d}" if has_phone else None
    return (first, last, email, phone, *make_address(code, draw[4], draw[5], seed), code)


def make_address(code: str, street_draw: int, place_draw: int, seed: int) -> tuple[str, str, str]:
    """Street, postal code and city in a country."""
    people = pool(code, seed)
    place = people.places[place_draw % len(people.places)]
    return (people.streets[street_draw % len(people.streets)], *place)
