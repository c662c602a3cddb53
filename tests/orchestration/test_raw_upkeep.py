"""The job that compacts raw."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.raw_log import data_files, land_many, picture

from lakehouse.locks import file_lock
from lakehouse.raw import RawTable
from lakehouse.settings import Settings
from orchestration.raw_upkeep import build_raw_upkeep


def test_the_job_compacts_every_table_and_is_red_when_one_is_damaged(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    yesterday = datetime.now(UTC).replace(hour=1) - timedelta(days=1)
    sound, busy, damaged = (RawTable(settings.raw_dir, "shop", n) for n in ("c", "a", "b"))
    for table in (sound, busy, damaged):
        ids = land_many(table, yesterday, 3)
    before = picture(sound)
    damaged.path_of(ids[0]).write_bytes(b"nonsense")
    job = build_raw_upkeep(settings).resolve_job_def("compact_raw")
    with file_lock(busy.compaction_lock, purpose="lake raw compact"):
        assert not job.execute_in_process(raise_on_error=False).success
    assert len(data_files(busy)) == 3
    assert len(data_files(sound)) == 4
    assert picture(sound) == before
    damaged.path_of(ids[0]).unlink()
    assert job.execute_in_process().success
    assert len(data_files(busy)) == 4
