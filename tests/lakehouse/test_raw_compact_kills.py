"""``kill -9`` at every boundary of a compaction leaves what an undisturbed one leaves."""

import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from support.mortal import STEPS
from support.raw_log import TODAY, YESTERDAY, data_files, land, land_many, picture

from lakehouse.raw import RawTable
from lakehouse.raw.compact import compact
from lakehouse.raw.verify import verify

# A process for each boundary.
pytestmark = pytest.mark.slow

VICTIM = f"""
import os, signal, sys
from datetime import datetime, timedelta
from pathlib import Path
from lakehouse.raw import RawTable
from lakehouse.raw.compact import compact

left = int(sys.argv[2])

def mortal(step):
    def change(*args, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return step(*args, **options)
    return change

for name in {(*STEPS, "fsync")!r}:
    setattr(os, name, mortal(getattr(os, name)))
table = RawTable(Path(sys.argv[1]), "shop", "customers")
compact(table, now=datetime.fromisoformat({TODAY.isoformat()!r}))
compact(table, grace=timedelta(seconds=-1))
"""


def test_a_kill_at_any_boundary_leaves_every_commit_once_and_the_next_run_ends_the_work(
    tmp_path: Path,
) -> None:
    table = RawTable(tmp_path / "whole" / "raw", "shop", "customers")
    land_many(table, YESTERDAY - timedelta(days=1), 2)
    land_many(table, YESTERDAY, 3)
    compact(table, now=TODAY)
    land_many(table, YESTERDAY + timedelta(hours=1), 2)
    before = picture(table)
    kills = 0
    while True:
        mine = RawTable(tmp_path / str(kills) / "raw", "shop", "customers")
        shutil.copytree(table.raw_dir, mine.raw_dir)
        done = subprocess.run(
            [sys.executable, "-c", VICTIM, str(mine.raw_dir), str(kills)], check=False
        )
        assert picture(mine) == before, f"after {kills} steps"
        assert [found for found in verify(mine.raw_dir) if found.problem] == []
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        late = land(mine, TODAY, [7])  # an extractor goes on as if nothing had happened
        after = picture(mine)
        assert late in mine.batch_ids()
        compact(mine, now=TODAY)
        compact(mine, grace=timedelta(seconds=-1))
        assert picture(mine) == after
        assert len(data_files(mine)) == 3
        assert list(mine.directory.rglob("*.tmp")) == []
        kills += 1
    assert kills > 20
