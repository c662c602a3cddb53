"""A commit that an earlier build has read is set aside, and comes back."""

from decimal import Decimal
from pathlib import Path

import pytest
from support.shop_raw import (
    customer,
    differences,
    hours,
    item,
    make_shop_lake,
    product,
    transaction,
)

# Five runs of dbt.
pytestmark = [pytest.mark.slow, pytest.mark.guard]


def test_a_commit_set_aside_leaves_every_table_and_enters_again_when_it_returns(
    tmp_path: Path,
) -> None:
    lake = make_shop_lake(tmp_path / "lake")
    lake.land("customers", hours(1), [customer(1)])
    lake.land("products", hours(1), [product(1), product(2)])
    lake.land("transactions", hours(1), [transaction(1, "10.00")])
    lake.land("transaction_items", hours(1), [item(1, 1)])
    changed = [product(1, unit_price=Decimal("11.00"), updated_at=hours(2)), product(3)]
    batch = lake.land("products", hours(2), changed)
    lake.dbt("build")

    (commit,) = lake.settings.raw_dir.glob(f"shop/products/*/{batch}.parquet")
    aside = commit.rename(commit.with_name(commit.name + ".set-aside"))
    assert batch in lake.dbt("build", fails=True)
    lake.dbt("build", "--full-refresh", "-s", "base_shop__products+")
    assert lake.query("select product_id from staging.stg_shop__products order by all") == [
        (1,),
        (2,),
    ]

    aside.rename(commit)
    lake.dbt("build")
    anew = make_shop_lake(tmp_path / "anew", target=lake.target)
    (anew.root / "data").symlink_to(lake.root / "data")
    anew.dbt("build")
    assert differences(lake, anew) == {}
