"""The commands of the batch layer as a person meets them."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.extraction import EVENTS, Source

from lakehouse.cli.main import main


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    listed = tmp_path / "ingest" / "sources.yml"
    listed.parent.mkdir()
    listed.write_text(
        "sources: [{name: shop, schema: shop, tables: "
        "[{name: events, cursor: updated_at, lookback: 0s, clock: database}]}]"
    )
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("LAKE_SOURCE_DSN", pg_dsn)
    found = Source(pg_dsn, tmp_path)
    found.execute(EVENTS, "insert into shop.events select g from generate_series(1, 5) g")
    return found


def test_extract_tells_what_it_did(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("shop.events: 5 new, 0 deleted; complete below 20")
    assert "(exact)" in out
    assert main(["extract", "events"]) == 0
    assert capsys.readouterr().out.startswith("shop.events: nothing new; complete below 20")


def test_extract_speaks_json(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["table"], report["upserts"], report["error"]) == ("events", 5, None)
    assert report["batches"] == [info.batch_id for info in source.infos()]


def test_failures_end_with_one_sentence_and_code_one(
    source: Source, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["extract", "nope"]) == 1
    assert "there is no table nope" in capsys.readouterr().err
    source.execute("drop table shop.events")
    assert main(["extract", "--json"]) == 1
    captured = capsys.readouterr()
    assert "has no table shop.events" in json.loads(captured.out)[0]["error"]
    assert captured.err.splitlines()[-1].startswith("Error: the source database has no table")
    monkeypatch.setenv("LAKE_SOURCE_DSN", "postgresql://me:hidden@127.0.0.1:1/x")
    assert main(["extract"]) == 1
    captured = capsys.readouterr()
    assert "does not answer" in captured.err
    assert "hidden" not in captured.err


def test_raw_verify_and_set_aside(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract"]) == 0
    assert main(["raw", "verify"]) == 0
    assert "1 commits, 5 rows, 0 damaged" in capsys.readouterr().out
    (path,) = source.raw().commits()
    path.write_bytes(path.read_bytes()[:100])
    assert main(["raw", "verify", "--json"]) == 1
    captured = capsys.readouterr()
    assert str(path) in json.loads(captured.out)[0]["problem"]
    assert "1 of 1 raw commits are damaged" in captured.err
    assert main(["raw", "set-aside", path.stem]) == 0
    assert main(["extract"]) == 0
    assert [row[0] for row in source.current()] == [1, 2, 3, 4, 5]
    assert main(["raw", "set-aside", "nope"]) == 1


def test_state_is_shown_and_moved(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "show"]) == 0
    assert "nothing is landed yet; the next run reads all rows" in capsys.readouterr().out
    assert main(["state", "rewind", "events", "--to", "2020-01-01", "--yes"]) == 1
    assert "has no watermark that could be moved" in capsys.readouterr().err
    assert main(["extract"]) == 0
    before = source.infos()[-1].watermark_after
    capsys.readouterr()
    assert main(["state", "show", "events"]) == 0
    out = capsys.readouterr().out
    assert f"complete below updated_at = {before}" in out
    assert "guarantee: exact" in out
    # Rows changed behind the cursor's back, in the past.
    source.execute(
        "update shop.events set label = 'back', updated_at = '2026-01-05' where id = 1",
        "insert into shop.events values (9, 'y', '2026-02-01')",
    )
    assert main(["state", "rewind", "events", "--to", "2026-01-01"]) == 1
    captured = capsys.readouterr()
    assert "reads 2 rows again and lands those that differ" in captured.out
    assert "add --yes" in captured.err
    assert source.infos()[-1].watermark_after == before
    assert main(["state", "rewind", "events", "--to", "2026-01-01", "--yes"]) == 0
    assert source.infos()[-1].kind == "state"
    assert source.infos()[-1].watermark_after == "2026-01-01 00:00:00+00"
    capsys.readouterr()
    assert main(["raw", "verify"]) == 0
    assert main(["extract"]) == 0
    assert source.current("id, label")[0] == (1, "back")
    assert str(source.infos()[-1].watermark_after) >= str(before)
    assert main(["state", "rewind", "events", "--to", "2099-01-01", "--yes"]) == 1
    assert "lies after the watermark" in capsys.readouterr().err
    assert main(["state", "set", "events", "2099-01-01", "--yes"]) == 0
    assert "are skipped for good" in capsys.readouterr().out
    assert main(["state", "rewind", "events", "--commits", "1", "--yes"]) == 0
    assert main(["state", "rewind", "events", "--commits", "99", "--yes"]) == 1
    assert main(["state", "set", "events", "nonsense", "--yes"]) == 1
    assert "invalid input syntax" in capsys.readouterr().err


def test_a_range_is_backfilled_and_the_watermark_stays(
    source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["state", "backfill", "events", "--from", "2026-01-01", "--to", "2026-02-01"]
    assert main([*arguments, "--yes"]) == 1
    assert "has not been loaded yet" in capsys.readouterr().err
    source.execute("insert into shop.events values (8, 'x', '2026-01-05'), (9, 'x', '2026-02-01')")
    assert main(["extract"]) == 0
    before = source.infos()[-1].watermark_after
    source.execute("update shop.events set label = 'y' where id in (8, 9)")
    capsys.readouterr()
    assert main([*arguments, "--yes"]) == 0
    out = capsys.readouterr().out
    assert "reads 1 rows again" in out
    assert "1 rows read, 1 landed" in out
    assert source.infos()[-1].watermark_after == before
    assert source.current("label", key="id")[-2:] == [("y",), ("x",)]
    assert main(["extract"]) == 0


def test_reconcile_names_what_differs(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    source.execute("insert into shop.events values (8, 'x', '2026-01-05')")
    assert main(["reconcile"]) == 0
    assert "events: source and raw agree in every range" in capsys.readouterr().out
    source.execute("update shop.events set label = 'y' where id = 8")
    assert main(["reconcile", "--rows-a-range", "2"]) == 1
    captured = capsys.readouterr()
    assert "events: id from " in captured.out
    assert "1 ranges differ" in captured.err
    assert main(["reconcile", "--repair"]) == 0
    assert "; repaired" in capsys.readouterr().out
    assert main(["reconcile", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ranges"] == []


@pytest.mark.parametrize(
    "command",
    [
        ["extract"],
        ["reconcile"],
        ["state", "show"],
        ["state", "set"],
        ["state", "rewind"],
        ["state", "backfill"],
        ["seed"],
        ["simulate-day"],
        ["raw", "verify"],
        ["raw", "set-aside"],
    ],
)
def test_every_help_shows_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"  lake {' '.join(command)}" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_idle_extract_imports_nothing_heavy(source: Source) -> None:
    for _ in range(2):
        assert main(["extract"]) == 0
    code = """
        import sys
        from ingest.postgres import extract_tables
        from ingest.sources import load_sources
        from lakehouse.settings import load_settings
        settings = load_settings()
        (report,) = extract_tables(settings, settings.source_dsn, load_sources(settings))
        heavy = {"pandas", "duckdb", "psycopg", "dagster", "faker", "rich"} & set(sys.modules)
        print(report.rows_read, report.rows, sorted(heavy))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    # The rows of the margin were read again, and recognized without looking into raw.
    assert done.stdout == "5 0 []\n"
