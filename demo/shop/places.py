"""Names and addresses of the countries in which the shop sells.

The list of countries stands here and nowhere else. Faker fills a pool per country; customers draw
from the pools, because drawing is fast and Faker is not.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from faker import Faker

_FIRST_NAMES, _LAST_NAMES, _STREETS, _PLACES = 120, 250, 250, 100
# Letters that Unicode does not decompose into a plain letter and an accent.
_PLAIN = str.maketrans({"ß": "ss", "ł": "l", "Ł": "l", "ø": "o", "æ": "ae", "œ": "oe"})


@dataclass(frozen=True, slots=True)
class Country:
    """A country: its share of the customers, its Faker locale and its telephone prefix."""

    share: float
    locale: str
    prefix: str


COUNTRIES = {
    "DE": Country(0.26, "de_DE", "49"),
    "FR": Country(0.14, "fr_FR", "33"),
    "NL": Country(0.08, "nl_NL", "31"),
    "AT": Country(0.06, "de_AT", "43"),
    "CH": Country(0.06, "de_CH", "41"),
    "IT": Country(0.09, "it_IT", "39"),
    "ES": Country(0.08, "es_ES", "34"),
    "SE": Country(0.04, "sv_SE", "46"),
    "PL": Country(0.05, "pl_PL", "48"),
    "GB": Country(0.08, "en_GB", "44"),
    "US": Country(0.06, "en_US", "1"),
}


@dataclass(frozen=True, slots=True)
class Pool:
    """What the people of one country are called and where they live.

    Attributes:
        first_names: Each with its form for an e-mail address.
        last_names: Each with its form for an e-mail address.
        places: Postal code and city.
    """

    first_names: tuple[tuple[str, str], ...]
    last_names: tuple[tuple[str, str], ...]
    streets: tuple[str, ...]
    places: tuple[tuple[str, str], ...]


@lru_cache(maxsize=64)
def pool(country_code: str, seed: int) -> Pool:
    """The pool of a country; the same seed gives the same pool.

    Args:
        country_code: A key of ``COUNTRIES``.
        seed: Any whole number.
    """
    # Weighted names cost ten times as much, and the pool flattens the weights anyway.
    fake = Faker(COUNTRIES[country_code].locale, use_weighting=False)
    fake.seed_instance(f"{seed}-{country_code}")
    firsts = dict.fromkeys(fake.first_name() for _ in range(_FIRST_NAMES))
    lasts = dict.fromkeys(fake.last_name() for _ in range(_LAST_NAMES))
    streets = dict.fromkeys(_one_line(fake.street_address()) for _ in range(_STREETS))
    places = [_place(fake, country_code) for _ in range(_PLACES)]
    return Pool(
        first_names=tuple((name, _for_email(name)) for name in firsts),
        last_names=tuple((name, _for_email(name)) for name in lasts),
        streets=tuple(streets),
        places=tuple(places),
    )


def _place(fake: Faker, country_code: str) -> tuple[str, str]:
    if country_code == "IT":
        # Faker keeps Italian cities in the order of a set, another one in every process.
        postal_code, _, city = fake.postcode_city_province().partition(", ")
        return postal_code, city.rpartition(" (")[0]
    return _one_line(fake.postcode()), _one_line(fake.city())


def _one_line(text: str) -> str:
    return ", ".join(part.strip() for part in text.splitlines())


def _for_email(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.lower().translate(_PLAIN))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum()) or "x"
