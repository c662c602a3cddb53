"""``lake raw verify``: whoever has to set commits aside can read which, without ``--json``."""

import json

from support.lake import Root


def test_damaged_commits_are_listed_in_80_columns(lake, root: Root) -> None:
    sound, damaged = root.land(3), [root.land(2), root.land(1, table="a_table_with_a_long_name")]
    for batch_id in damaged:
        next(root.settings.raw_dir.rglob(f"{batch_id}.parquet")).write_bytes(b"nonsense")
    code, out, err = lake("raw", "verify")
    assert code == 1
    assert max(map(len, out.splitlines())) <= 80
    for batch_id in damaged:
        [line] = [line for line in out.splitlines() if line.startswith(batch_id)]
        assert "shop." in line
    assert sound not in out
    assert "3 commits, 3 rows, 2 damaged" in out
    assert err.count("\n") == 1
    assert len(json.loads(lake("raw", "verify", "--json")[1])) == 3
