"""``lake source``, and several sources in one list, as a person meets them."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml
from support.checkout import LAKE

from demo.postgres.embedded import EXTRACTOR_ROLE, EmbeddedPostgres
from ingest.checks import checks
from ingest.run import extract_sources
from ingest.sources import load_sources
from lakehouse.cli.main import main
from lakehouse.doctor import run_checks
from lakehouse.raw import RawTable
from lakehouse.settings import Settings, load_settings

MINE = """# The list.
sources:
  - name: shop  # ours
    schema: shop
    tables:
      # the only one
      - {name: events, cursor: updated_at, lookback: 0s}
"""
TABLES = """
create schema erp;
create function erp.touch() returns trigger language plpgsql as
    $$ begin new.updated_at := now(); return new; end $$;
create table erp.good (id int primary key, updated_at timestamptz not null);
create index on erp.good (updated_at);
create trigger touch before insert or update on erp.good for each row execute function erp.touch();
create table erp.unsure (id int primary key, updated_at timestamptz, modified_at timestamptz);
create table erp.log (id int primary key, created_at timestamptz not null);
create table erp.nokey (x int);
create table erp.by_unique (
    a int not null, b text not null unique, updated_at timestamptz not null);
create table erp.parts (id int primary key, updated_at timestamptz) partition by range (id);
create table erp.parts_1 partition of erp.parts for values from (0) to (10);
create view erp.seen as select * from erp.good;
create table erp.hidden (id int primary key, updated_at timestamptz);
alter table erp.hidden enable row level security;
create table erp.secret (id int primary key, updated_at timestamptz);
insert into erp.good values (1, now()), (2, now());
"""
SECRET = "hunter2"


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    listed = tmp_path / "ingest" / "sources.yml"
    listed.parent.mkdir()
    listed.write_text(MINE)
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path))
    monkeypatch.delenv("LAKE_SOURCE_DSN", raising=False)
    monkeypatch.delenv("LAKE_SOURCE_ERP_DSN", raising=False)
    return tmp_path


@pytest.fixture
def erp(pg_dsn: str, pg_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """The administrator's address of a database, which the extractor's role reads."""
    execute(
        pg_dsn,
        TABLES,
        f"do $$ begin create role {EXTRACTOR_ROLE} login;"
        " exception when duplicate_object then end $$",
        f"grant pg_read_all_stats to {EXTRACTOR_ROLE}",
        f"grant usage on schema erp to {EXTRACTOR_ROLE}",
        f"grant select on all tables in schema erp to {EXTRACTOR_ROLE}",
        f"revoke select on erp.secret from {EXTRACTOR_ROLE}",
    )
    database = pg_dsn.partition("@/")[2].partition("?")[0]
    monkeypatch.setenv("LAKE_SOURCE_ERP_DSN", pg_server.dsn(EXTRACTOR_ROLE, database))
    return pg_dsn


def sources(root: Path) -> str:
    return (root / "ingest" / "sources.yml").read_text()


def entries(root: Path) -> dict[str, dict[str, object]]:
    (source,) = (s for s in yaml.safe_load(sources(root))["sources"] if s["name"] == "erp")
    return {table["name"]: table for table in source["tables"]}


def test_a_database_is_listed_with_what_follows_and_what_is_in_the_way(
    root: Path, erp: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["source", "add", "erp", "--json"]) == 0
    found = {line["table"]: line for line in json.loads(capsys.readouterr().out)}
    assert set(found) == {
        "good", "unsure", "log", "nokey", "by_unique", "parts", "hidden", "secret",
    }, "no partition and no view"  # fmt: skip
    assert (found["good"]["cursor"], found["good"]["guarantee"]) == ("updated_at", "exact")
    assert found["good"]["notes"] == []
    for name, words in {
        "unsure": "not clear whether updated_at or modified_at",
        "log": "say --cursor log=created_at",
        "nokey": "no key",
    }.items():
        assert found[name]["guarantee"].startswith("full"), name
        assert words in " ".join(found[name]["notes"])
    assert found["by_unique"]["primary_key"] == ["b"]
    assert "row-level security" in found["hidden"]["not_taken"]
    assert "grant select on erp.secret" in found["secret"]["not_taken"]
    assert found["parts"]["guarantee"].startswith("lookback 1h: nothing says who sets updated_at")
    listed = entries(root)
    assert set(listed) == set(found) - {"hidden", "secret"}
    assert listed["good"] == {
        "name": "good",
        "primary_key": ["id"],
        "cursor": "updated_at",
        "clock": "database",
        "lookback": "1h",
        "null_cursor": "include",
        "deletes": "reconcile",
    }
    assert listed["nokey"] == {"name": "nokey", "deletes": "reconcile"}
    assert "clock" not in listed["parts"], "nobody has said"


def test_again_only_what_is_new_is_added_and_edits_stay(
    root: Path, erp: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["source", "add", "erp", "--table", "good", "--table", "erp.log"])
    assert sources(root).startswith(MINE)
    edited = sources(root).replace("lookback: 1h", "lookback: 5m  # enough here") + "# The end.\n"
    (root / "ingest" / "sources.yml").write_text(edited)
    capsys.readouterr()
    assert main(["source", "add", "erp", "--table", "good"]) == 0
    assert "1 table of erp listed before: left as written." in capsys.readouterr().out
    assert sources(root) == edited
    assert main(["source", "add", "erp", "--schema", "erp"]) == 0
    out = capsys.readouterr().out
    assert "2 tables of erp listed before" in out
    assert "4 tables added to ingest/sources.yml." in out
    assert max(map(len, out.splitlines())) <= 80
    assert set(edited.splitlines()) <= set(sources(root).splitlines())
    assert list(entries(root))[:2] == ["good", "log"]


def test_what_a_person_says_is_taken_and_what_is_not_there_is_named(
    root: Path, erp: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["--table", "seen", "--key", "seen=id", "--table", "log", "--cursor", "log=id"]
    assert main(["source", "add", "erp", *said]) == 0
    assert entries(root)["seen"]["primary_key"] == ["id"]
    assert (entries(root)["log"]["cursor"], entries(root)["log"]["lookback"]) == ("id", 10000)
    before = sources(root)
    for wrong, words in {
        ("--table", "nope"): "no table nope",
        ("--schema", "nope"): "no table in schema nope",
        ("--cursor", "nope=x"): "no table nope is being added",
        ("--cursor", "nope"): "names no table and column",
        ("--dsn-env", "LAKE_OTHER_DSN"): "already takes its address from LAKE_SOURCE_ERP_DSN",
    }.items():
        assert main(["source", "add", "erp", *wrong]) == 1, wrong
        assert words in capsys.readouterr().err
    assert main(["source", "add", "erp", "--table", "good", "--cursor", "good=nope"]) == 0
    assert "has no column nope" in capsys.readouterr().out
    for name in ("Erp", "1", "stream", "base", "a-b"):
        assert main(["source", "add", name]) == 1
        assert "cannot have the name" in capsys.readouterr().err
    assert main(["source", "add", "crm"]) == 1
    assert "LAKE_SOURCE_CRM_DSN is not set" in capsys.readouterr().err
    assert sources(root) == before


def test_two_tables_of_one_name_and_a_list_that_nothing_can_be_added_to(
    root: Path, erp: str, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(erp, "create schema b", 'create table b."Good" (id int primary key)')
    execute(erp, f"grant usage on schema b to {EXTRACTOR_ROLE}")
    execute(erp, f"grant select on all tables in schema b to {EXTRACTOR_ROLE}")
    assert main(["source", "add", "erp", "--table", "b.Good"]) == 0
    assert main(["source", "add", "erp", "--table", "erp.good"]) == 0
    assert set(entries(root)) == {"good", "erp_good"}
    specs = {spec.name: spec for spec in load_sources(Settings(root=root)) if spec.source == "erp"}
    assert {(s.schema, s.relation) for s in specs.values()} == {("b", "Good"), ("erp", "good")}
    (root / "ingest" / "sources.yml").write_text(
        "sources:\n  - &a {name: erp, tables: []}\n  - 1\n"
    )
    assert main(["source", "add", "erp", "--table", "log"]) == 1
    assert "is not a mapping" in capsys.readouterr().err


def test_list_show_and_check(root: Path, erp: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["source", "add", "erp", "--table", "good", "--table", "log"])
    capsys.readouterr()
    assert main(["source", "list", "--json"]) == 0
    shop, ours = json.loads(capsys.readouterr().out)
    assert (ours["source"], ours["tables"], ours["address"]) == ("erp", 2, "set")
    assert shop["address"] == "the demo's database"
    assert main(["source", "show", "erp"]) == 0
    assert "erp.good" in capsys.readouterr().out
    assert main(["source", "check", "erp"]) == 0
    assert "exact" in capsys.readouterr().out
    execute(erp, "drop table erp.log")
    assert main(["source", "check", "erp", "--json"]) == 1
    captured = capsys.readouterr()
    lines = {line["table"]: line for line in json.loads(captured.out)}
    assert lines["erp.good"]["problem"] is None
    assert "no table erp.log" in lines["erp.log"]["problem"]
    assert "1 of 2 tables cannot be extracted" in captured.err
    assert main(["source", "show", "nope"]) == 1
    assert "choose from shop, erp" in capsys.readouterr().err


def test_a_source_that_does_not_answer_stops_no_other(
    root: Path, erp: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAKE_SOURCE_DSN", f"postgresql://me:{SECRET}@127.0.0.1:1/x")
    main(["source", "add", "erp", "--table", "good"])
    capsys.readouterr()
    assert main(["extract", "--json"]) == 1
    captured = capsys.readouterr()
    reports = {report["source"]: report for report in json.loads(captured.out)}
    assert (reports["erp"]["upserts"], reports["erp"]["error"]) == (2, None)
    assert reports["shop"]["error"].startswith("source shop: ")
    assert SECRET not in captured.out + captured.err
    assert len(RawTable(root / "data" / "raw", "erp", "good").commits()) == 1
    settings = load_settings()
    assert [r.rows for r in extract_sources(settings, load_sources(settings)[1:])] == [0]
    found = {check.name: finding for check, finding in run_checks(settings, checks())}
    assert found["source"].outcome == "problem"
    assert found["source"].text.startswith("shop: ")
    assert "erp: " not in found["source"].text
    assert main(["extract", "erp"]) == 0, "a source can be asked for by its name"


def test_without_the_demo_its_tables_are_left_out(
    root: Path, erp: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["source", "add", "erp", "--table", "good"])
    capsys.readouterr()
    assert main(["extract"]) == 0
    captured = capsys.readouterr()
    assert "shop is left out: no embedded PostgreSQL yet" in captured.err
    assert captured.out.startswith("erp.good: 2 new")
    assert not (root / "data" / "postgres").exists(), "nothing was started"


def test_an_address_given_as_an_argument_leaves_the_process_list(root: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://me:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/x"
        for option in ([f"--dsn={dsn}"], ["--dsn", dsn]):
            process = subprocess.Popen(
                [str(LAKE), "source", "add", "erp", *option],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            silent.settimeout(60)
            connection, _ = silent.accept()  # by now it has read its arguments
            shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            connection.close()
            output, _ = process.communicate(timeout=60)
            assert b"source\0add\0erp" in shown
            assert SECRET.encode() not in shown
            assert SECRET not in output
            assert process.returncode == 1


def test_saving_writes_the_address_once_for_its_owner(
    root: Path, erp: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LAKE_SOURCE_ERP_DSN")
    assert main(["source", "add", "erp", "--dsn", erp, "--table", "good"]) == 0
    out = capsys.readouterr().out
    assert "LAKE_SOURCE_ERP_DSN=postgresql://..." in out
    assert not (root / ".env").exists()
    assert erp not in sources(root) + out
    assert main(["source", "add", "erp", "--dsn", erp, "--save"]) == 0
    assert (root / ".env").stat().st_mode & 0o777 == 0o600
    assert main(["source", "check", "erp"]) == 0


@pytest.mark.parametrize("command", ["add", "list", "show", "check", "scaffold"])
def test_every_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"  lake source {command}" in out
    assert max(map(len, out.splitlines())) <= 80


def test_commands_that_only_list_load_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from lakehouse.cli.main import main; main(['source', 'show', 'shop']);"
        "print(sorted({'pyarrow', 'duckdb', 'psycopg', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
