"""Hard deletes become tombstones, and accidents do not."""

from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.extraction import EVENTS, Source, spec

from ingest.postgres import DeletesRefusedError, ExtractionError, table


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(
        EVENTS,
        "insert into shop.events select g, 'x', '2024-01-01' from generate_series(1, 1000) g",
    )
    found.extract()
    return found


def agrees(source: Source) -> bool:
    return source.current("id, label") == source.query(
        "select id, label from shop.events order by id"
    )


def test_deleted_rows_become_tombstones_with_nothing_but_their_key(source: Source) -> None:
    source.execute("delete from shop.events where id in (3, 5)")
    report = source.extract()
    assert (report.upserts, report.deletes) == (0, 2)
    info = source.infos()[-1]
    assert (info.kind, info.deletes, info.cursor_max) == ("tombstones", 2, None)
    assert info.watermark_after == report.watermark_after
    gone = source.landed("id, label, updated_at, _op", end="where _op = 'delete' order by id")
    assert gone == [(3, None, None, "delete"), (5, None, None, "delete")]
    assert agrees(source)
    files = source.files()
    assert source.extract().rows == 0
    assert source.files() == files


def test_deletes_and_inserts_in_equal_number(source: Source) -> None:
    source.execute(
        "delete from shop.events where id <= 10",
        "insert into shop.events select g, 'new' from generate_series(2001, 2010) g",
    )
    report = source.extract()
    assert (report.upserts, report.deletes) == (10, 10)
    assert agrees(source)


def test_equal_counts_are_not_taken_for_equal_keys(source: Source) -> None:
    # One row deleted and another one inserted late: the count is as it was.
    source.execute(
        "delete from shop.events where id = 10",
        "insert into shop.events values (2001, 'late', '2023-01-01')",
    )
    report = source.extract()
    assert (report.upserts, report.deletes) == (1, 1)
    # One row read by its key, not all of them.
    assert report.rows_read == 1
    assert agrees(source)
    assert source.extract().rows == 0


def test_a_changed_key_with_an_unmoved_cursor_is_found(source: Source) -> None:
    source.execute("update shop.events set id = 5000 where id = 5")
    report = source.extract()
    assert (report.upserts, report.deletes) == (1, 1)
    assert agrees(source)


def test_many_late_rows_are_found_by_reading_all(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_MOST_BY_KEY", 5)
    source.execute(
        "insert into shop.events select g, 'late', '2023-01-01' from generate_series(2001, 2010) g"
    )
    report = source.extract(chunk_rows=300)
    assert (report.upserts, report.rows_read) == (10, 1010)
    assert agrees(source)


def test_a_key_that_comes_back_lives_again(source: Source) -> None:
    source.execute("delete from shop.events where id = 7")
    source.extract()
    source.execute("insert into shop.events values (7, 'back')")
    assert source.extract().upserts == 1
    assert agrees(source)
    source.execute("delete from shop.events where id = 7")
    assert source.extract().deletes == 1
    assert agrees(source)


def test_a_row_that_comes_back_unchanged_lives_again(source: Source) -> None:
    source.execute("delete from shop.events where id = 7")
    source.extract()
    source.execute("insert into shop.events values (7, 'x', '2024-01-01')")
    report = source.extract()
    assert (report.upserts, report.deletes) == (1, 0)
    assert agrees(source)


def test_a_key_deleted_and_reinserted_between_two_runs_is_an_update(source: Source) -> None:
    source.execute(
        "delete from shop.events where id = 9", "insert into shop.events values (9, 'again')"
    )
    report = source.extract()
    assert (report.upserts, report.deletes) == (1, 0)
    assert agrees(source)


def test_too_many_deletes_are_refused_and_may_be_allowed(source: Source) -> None:
    source.execute("delete from shop.events where id <= 300")
    files = source.files()
    with pytest.raises(
        ExtractionError, match=r"300 of 1,000 rows .* delete 30%, more than 20%"
    ) as e:
        source.extract()
    assert isinstance(e.value.errors[0], DeletesRefusedError)
    assert "--allow-deletes" in e.value.next_step
    assert source.files() == files
    assert source.extract(allow_deletes=True).deletes == 300
    assert agrees(source)


def test_upserts_land_although_deletes_are_refused(source: Source) -> None:
    source.execute(
        "delete from shop.events where id <= 300", "insert into shop.events values (5000, 'new')"
    )
    with pytest.raises(ExtractionError) as error:
        source.extract()
    assert error.value.reports[0].upserts == 1
    assert source.current("label", key="id")[-1] == ("new",)


def test_an_empty_source_is_refused_however_few_its_rows(pg_dsn: str, tmp_path: Path) -> None:
    source = Source(pg_dsn, tmp_path)
    source.execute(EVENTS, "insert into shop.events values (1, 'x'), (2, 'x')")
    source.extract()
    source.execute("truncate shop.events")
    with pytest.raises(ExtractionError, match=r"would delete all 2 rows \(100 %\)"):
        source.extract()


def test_a_few_deletes_of_a_small_table_are_no_accident(pg_dsn: str, tmp_path: Path) -> None:
    source = Source(pg_dsn, tmp_path)
    source.execute(EVENTS, "insert into shop.events select g, 'x' from generate_series(1, 12) g")
    source.extract()
    source.execute("delete from shop.events where id > 2")
    assert source.extract().deletes == 10


def test_the_share_is_configurable_and_deletes_can_be_ignored(source: Source) -> None:
    source.execute("delete from shop.events where id <= 300")
    source.specs = [spec(deletes="ignore")]
    assert source.extract().rows == 0
    source.specs = [spec(max_delete_share=0.3)]
    assert source.extract().deletes == 300


def test_one_refusal_does_not_stop_the_other_tables(source: Source) -> None:
    source.execute(
        "create table shop.others (id bigint primary key, updated_at timestamptz default now())",
        "insert into shop.others values (1)",
        "truncate shop.events",
    )
    source.specs = [spec(), spec("others")]
    with pytest.raises(ExtractionError) as error:
        source.extract_all()
    first, second = error.value.reports
    assert first.error is not None
    assert (second.error, second.upserts) == (None, 1)


def test_without_the_checkpoint_file_the_answer_is_the_same(source: Source) -> None:
    (checkpoint,) = (source.settings.state_dir / "checkpoints").iterdir()
    text = checkpoint.read_text()
    checkpoint.unlink()
    assert source.extract().rows == 0
    assert checkpoint.read_text() == text
    checkpoint.write_text("garbage")
    assert source.extract().rows == 0
    assert checkpoint.read_text() == text
    source.execute("delete from shop.events where id = 1")
    assert source.extract().deletes == 1


def test_excluded_rows_without_a_cursor_are_no_deletes(source: Source) -> None:
    source.specs = [spec(null_cursor="exclude")]
    source.execute("insert into shop.events values (2000, 'x', null)")
    assert source.extract().rows == 0
    source.execute("update shop.events set updated_at = null where id = 1")
    for _ in range(2):
        report = source.extract()
        assert (report.upserts, report.deletes, report.rows_read) == (0, 0, 0)
    source.execute("delete from shop.events where id in (1, 2000)")
    assert source.extract().deletes == 1


@pytest.mark.parametrize(
    "made_again",
    [
        ["drop table shop.events", EVENTS.split(";", 1)[1]],
        ["truncate shop.events"],
    ],
)
def test_a_table_made_again_with_the_same_keys_and_old_cursors_is_read_as_a_whole(
    source: Source, made_again: list[str]
) -> None:
    source.execute(
        *made_again,
        "insert into shop.events select g, 'other', '2024-01-01' from generate_series(1, 1000) g",
    )
    report = source.extract(chunk_rows=300)
    assert report.upserts == 1000
    assert any("read again" in warning for warning in report.warnings)
    assert agrees(source)
    again = source.extract()
    assert (again.rows, again.rows_read, again.warnings) == (0, again.rows_read, ())


def test_a_table_made_again_with_the_same_rows_is_read_as_a_whole_once(source: Source) -> None:
    source.execute(
        "truncate shop.events",
        "insert into shop.events select g, 'x', '2024-01-01' from generate_series(1, 1000) g",
    )
    files = source.files()
    assert source.extract().rows_read == 1000
    assert source.extract().rows_read == 0
    assert source.files() == files


def test_a_full_read_that_was_cut_short_is_begun_again(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.execute(
        "truncate shop.events",
        "insert into shop.events select g, 'other', '2024-01-01' from generate_series(1, 1000) g",
    )
    landing = table.land_chunk
    chunks = count(1)

    def dies(*args: Any) -> object:
        if next(chunks) > 2:
            raise KeyboardInterrupt
        return landing(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table, "land_chunk", dies)
        source.extract(chunk_rows=300)
    assert 0 < len([row for row in source.current("label") if row == ("other",)]) < 1000
    source.extract()
    assert agrees(source)


def test_the_keys_of_a_large_table_are_compared_from_time_to_time(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_SMALL_TABLE", 100)
    source.execute("analyze shop.events")
    # The table was small until now: nobody knows when its keys were compared.
    first = source.extract()
    assert first.keys_compared_at is not None
    source.execute("delete from shop.events where id = 1")
    source.execute("insert into shop.events values (2000, 'new')")
    report = source.extract()
    assert (report.upserts, report.deletes) == (1, 0)
    assert report.keys_compared_at == first.keys_compared_at
    with monkeypatch.context() as patch:
        patch.setattr(table, "_DELETES_EVERY", timedelta(0))
        assert source.extract().deletes == 1
    source.execute("delete from shop.events where id = 2")
    assert source.extract().deletes == 0
    source.specs = [spec(deletes_every=timedelta(0))]
    assert source.extract().deletes == 1
    source.specs = [spec(deletes_every=timedelta(days=1))]
    source.execute("delete from shop.events where id = 3")
    assert source.extract().deletes in (0, 1)
    source.execute("delete from shop.events where id = 4")
    assert source.extract().deletes == 0
    assert source.extract(full=True).deletes == 1
    assert agrees(source)


def test_a_small_table_with_a_declared_span_waits_for_it(source: Source) -> None:
    source.specs = [spec(deletes_every=timedelta(days=1))]
    source.extract()
    source.execute("delete from shop.events where id = 1")
    assert source.extract().deletes == 0
    assert source.extract(reconcile=True).deletes == 1
