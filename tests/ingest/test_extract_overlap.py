"""What is read twice: found in the right commits, and recognized without looking."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.postgres.known import fingerprint
from ingest.postgres.state import Position, reaches
from ingest.postgres.types import postgres_text

moments = st.datetimes(timezones=st.just(UTC)) | st.datetimes(
    min_value=datetime(2024, 1, 1), max_value=datetime(2024, 1, 1, 0, 0, 2),  # noqa: DTZ001
    timezones=st.just(UTC),
)  # fmt: skip


@given(moments, moments)
def test_texts_of_times_compare_like_the_times(a: datetime, b: datetime) -> None:
    assert reaches(postgres_text(a), postgres_text(b)) == (a >= b)
    naive = a.replace(tzinfo=None), b.replace(tzinfo=None)
    assert reaches(*map(postgres_text, naive)) == (a >= b)
    assert reaches(*map(postgres_text, (a.date(), b.date()))) == (a.date() >= b.date())


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=6)


@given(numbers, numbers)
def test_texts_of_numbers_compare_like_the_numbers(a: Decimal, b: Decimal) -> None:
    assert reaches(postgres_text(a), Position(postgres_text(b), ("1",))) == (a >= b)


@pytest.mark.parametrize(
    "odd", [None, "infinity", "-infinity", "0044-03-15 BC", "NaN", "12024-01-01"]
)
def test_what_cannot_be_compared_counts_as_above(odd: str | None) -> None:
    assert reaches(odd, "2024-01-01 00:00:00+00")
    assert odd is None or reaches("2024-01-01 00:00:00+00", odd)


def block(labels: list[str | None], flags: list[bool | None], batch: str = "a") -> pa.Table:
    rows = len(labels)
    now = datetime.now(UTC)
    return pa.table(
        {
            "label": pa.array(labels, pa.string()),
            "flag": pa.array(flags, pa.bool_()),
            "_batch_id": [batch] * rows,
            "_op": ["upsert"] * rows,
            "_extracted_at": [now] * rows,
            "_unrepresentable": pa.nulls(rows, pa.string()),
        }
    )


labels_and_flags = st.lists(
    st.tuples(st.none() | st.text(max_size=3), st.none() | st.booleans()), min_size=1, max_size=30
)


@given(labels_and_flags, labels_and_flags, st.integers(0, 30))
def test_equal_blocks_and_only_they_have_equal_fingerprints(
    first: list[tuple[str | None, bool | None]],
    second: list[tuple[str | None, bool | None]],
    cut: int,
) -> None:
    one = block(*map(list, zip(*first, strict=True)), batch="x")  # type: ignore[arg-type]
    two = block(*map(list, zip(*second, strict=True)))  # type: ignore[arg-type]
    assert (fingerprint(one) == fingerprint(two)) == (first == second)
    pieces = pa.concat_tables([one.slice(0, cut), one.slice(cut)])
    assert fingerprint(pieces) == fingerprint(one)
