"""``lake status``: facts, each from the place that owns it, in nobody's way."""

import json
import subprocess
import sys

from support.lake import Root, wait_line

from lakehouse.locks import file_lock
from lakehouse.publishing.blockers import Blocker
from lakehouse.publishing.publish import hold_back


def test_an_empty_root_says_how_to_begin(lake) -> None:
    code, out, _ = lake("status")
    assert code == 0
    assert "nothing yet" in out
    assert "Nothing has landed yet. Next: `lake demo`" in out


def test_every_layer_is_counted_where_it_is(lake, root: Root) -> None:
    root.land(5, watermark="2026-01-01 00:00:00.000001+00")
    root.publish(clean=2, quarantined=1)
    root.land(2, watermark="2026-01-02 00:00:00.000002+00")
    found = json.loads(lake("status", "--json")[1])
    assert found["sources"] == [
        {
            "source": "shop",
            "table": "customers",
            "commits": 2,
            "raw_rows": 7,
            "watermark": "2026-01-02 00:00:00.000002+00",
            "extracted_at": "2026-01-02T03:04:05+00:00",
            "unpublished_commits": 1,
            "unpublished_rows": 2,
            "clean_rows": 2,
            "quarantined_rows": 1,
        }
    ]
    assert found["published_rows"]["marts.fct_sales"] == 3
    assert found["builder"] is None
    assert found["held_back"] is None


def test_the_rows_of_a_table_add_up_on_their_face(lake, root: Root) -> None:
    root.land(50)
    root.land(9, table="orders")
    root.publish(clean=40, quarantined=3)
    root.land(11)
    lines = lake("status")[1].splitlines()

    def numbers(name: str) -> list[str]:
        return next(line.split()[1:] for line in lines if line.startswith(name))

    assert numbers("shop.customers") == ["61", "40", "3", "7", "11"]
    assert numbers("shop.orders") == ["9", "-", "-", "-", "9"], "the version has not seen it"
    assert numbers("total") == ["70", "40", "3", "7", "20"]


def test_it_fits_80_columns_and_says_all_of_it(lake, root: Root) -> None:
    root.land(1_234_567 // 100, watermark="2026-01-02 00:00:00.000002+00")
    root.publish()
    blockers = [Blocker(f"test.lakehouse.a_rule_with_a_long_name_{n}.1a2b", "fail") for n in "abc"]
    hold_back(root.settings, blockers)
    with file_lock(root.settings.build_lock, purpose="dbt build from a shell"):
        code, out, _ = lake("status")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for expected in (
        "12,345",
        "2026-01-02 00:00:00.000002",
        "held by dbt build from a shell (pid",
        "a_rule_with_a_long_name_c (fail)",
        "marts.fct_sales",
    ):
        assert expected in " ".join(out.split()), expected


def test_a_dead_builder_is_not_shown(lake, root: Root) -> None:
    code = (
        "import os, sys; from pathlib import Path; from lakehouse.locks import FileLock\n"
        "FileLock(Path(sys.argv[1]), purpose='a build').acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(root.settings.build_lock)], check=False)
    assert "Build file  free" in lake("status")[1]


def test_the_build_file_is_never_opened(lake, root: Root) -> None:
    root.land(1)
    root.publish()
    code = (
        "import duckdb, sys, time; connection = duckdb.connect(sys.argv[1])\n"
        "print('open', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(root.settings.build_file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_line(holder, "open")
        assert lake("status")[0] == 0
        assert lake("versions")[0] == 0
        assert lake("doctor", "--json")[1]
    finally:
        holder.kill()
        holder.wait()


def test_a_damaged_commit_is_one_sentence(lake, root: Root) -> None:
    batch_id = root.land(1)
    next(root.settings.raw_dir.rglob(f"{batch_id}.parquet")).write_bytes(b"nonsense")
    code, _, err = lake("status")
    assert code == 1
    assert f"lake raw set-aside {batch_id}" in err
    assert err.count("\n") == 1
