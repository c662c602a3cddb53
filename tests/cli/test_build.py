"""``lake build``: it costs what changed, and what it says is what happened."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.lake import Root
from support.tiny_project import Tiny, make_tiny

from lakehouse.dbt import green
from lakehouse.dbt.build import logs_dir
from lakehouse.dbt.fingerprint import read_code
from lakehouse.publishing import list_versions, rollback
from lakehouse.raw import RawTable
from lakehouse.settings import Settings

IDLE = "Nothing new to publish"
UNIT_TEST = "unit_test.lakehouse.bystander.one_is_one"


@pytest.fixture
def tiny(root: Root) -> Tiny:
    tiny = make_tiny(root.settings)
    tiny.land(1, 2)
    return tiny


def dbt_runs(tiny: Tiny) -> str:
    """Changes with every run of dbt."""
    results = tiny.settings.dbt_dir / "target" / "run_results.json"
    return str(json.loads(results.read_text())["metadata"]["invocation_id"])


def last_nodes(tiny: Tiny) -> set[str]:
    """What the last run of dbt built and tested."""
    results = tiny.settings.dbt_dir / "target" / "run_results.json"
    return {node["unique_id"] for node in json.loads(results.read_text())["results"]}


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.slow
@pytest.mark.guard
def test_a_build_after_a_green_one_starts_no_dbt_until_something_changed(
    root: Root, tiny: Tiny
) -> None:
    first = root.lake("build")
    assert first.returncode == 0, first.stdout + first.stderr
    version = list_versions(root.settings)[0].id
    before = dbt_runs(tiny), os.listdir(logs_dir(root.settings))
    idle = root.lake("build")
    assert (idle.returncode, idle.stderr) == (0, "")
    assert idle.stdout.startswith(f"{IDLE} since version {version}.\n")
    assert (dbt_runs(tiny), os.listdir(logs_dir(root.settings))) == before

    tiny.land(3)
    assert root.lake("build").returncode == 0
    assert dbt_runs(tiny) != before[0]
    assert list_versions(root.settings)[0].rows["marts.members"] == 3
    assert UNIT_TEST not in last_nodes(tiny), "it proves code, and the code is the same"
    rollback(root.settings)
    told = root.lake("build").stdout
    assert f"readers stay on {version} (rolled back from" in told

    before = dbt_runs(tiny), []
    for arguments in (["--force"], ["--full-refresh"], ["--verbose", "-s", "bystander"]):
        done = root.lake("build", *arguments)
        assert done.returncode == 0, done.stdout
        assert dbt_runs(tiny) != before[0], arguments
        assert UNIT_TEST in last_nodes(tiny)
        before = dbt_runs(tiny), []


def leaves(tiny: Tiny) -> str | None:
    return green.nothing_to_build(tiny.settings)


@pytest.mark.slow
@pytest.mark.guard
def test_only_a_whole_published_build_of_what_is_there_counts(tiny: Tiny) -> None:
    assert leaves(tiny) is None
    tiny.dbt("build", "--vars", "{a: 1}")
    assert leaves(tiny) is None, "another value may give other rows"
    tiny.dbt("build")
    assert leaves(tiny)
    tiny.dbt("run", "-s", "bystander")
    assert leaves(tiny) is None, "the build file was touched"
    tiny.dbt("build", "-s", "bystander")
    assert leaves(tiny) is None, "the other models may be older than their code"
    tiny.dbt("build", "--exclude-resource-type", "unit_test")
    assert leaves(tiny), "this code's unit tests are known to be green"

    duplicate = tiny.land(1)
    tiny.dbt("build", fails=True)
    duplicate.rename(duplicate.with_name(duplicate.name + ".set-aside"))
    assert leaves(tiny) is None, "a red build came between"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A project after a green build; whoever changes it puts it back."""
    tiny = make_tiny(Settings(root=tmp_path_factory.mktemp("built") / "root"))
    tiny.land(1)
    tiny.dbt("build")
    return tiny


Change = Callable[[Tiny], object]


def rename_commit(tiny: Tiny) -> None:
    path = tiny.table.commits()[0]
    path.rename(path.with_name(path.name + ".set-aside"))


def put_commit_back(tiny: Tiny) -> None:
    path = next(tiny.settings.raw_dir.rglob("*.set-aside"))
    path.rename(path.with_name(path.name.removesuffix(".set-aside")))


def hide(name: str) -> Change:
    return lambda tiny: (tiny.settings.root / name).rename(tiny.settings.root / "hidden")


def show(name: str) -> Change:
    return lambda tiny: (tiny.settings.root / "hidden").rename(tiny.settings.root / name)


def write(name: str) -> Change:
    return lambda tiny: (tiny.settings.dbt_dir / name).write_text("select 1")


def remove(name: str) -> Change:
    return lambda tiny: (tiny.settings.dbt_dir / name).unlink()


def replace(name: str, old: str, new: str) -> Change:
    return lambda tiny: edit(tiny.settings.dbt_dir / name, old, new)


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        (rename_commit, put_commit_back),
        (hide("warehouse/build/lakehouse.duckdb"), show("warehouse/build/lakehouse.duckdb")),
        (hide("warehouse/versions"), show("warehouse/versions")),
        (hide("warehouse/lakehouse.duckdb"), show("warehouse/lakehouse.duckdb")),
        (write("models/new.sql"), remove("models/new.sql")),
        (
            replace("models/bystander.sql", "select 1", "select 2"),
            replace("models/bystander.sql", "select 2", "select 1"),
        ),
        (
            replace("profiles.yml", "threads: 2", "threads: 1"),
            replace("profiles.yml", "threads: 1", "threads: 2"),
        ),
    ],
)
def test_each_change_is_noticed(built: Tiny, change: Change, undo: Change) -> None:
    assert leaves(built)
    change(built)
    assert leaves(built) is None
    undo(built)
    assert leaves(built), "what is as it was needs no build"


def test_who_builds_right_now_rules_it_out(built: Tiny) -> None:
    from lakehouse.locks import file_lock

    with file_lock(built.settings.build_lock, purpose="the test"):
        assert leaves(built) is None
    assert leaves(built)


def test_a_variable_counts_if_the_project_asks_for_it(
    built: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMETHING", "1")
    monkeypatch.setenv("DBT_USE_COLORS", "false")
    assert leaves(built)
    monkeypatch.setenv("DBT_TARGET", "other")
    assert leaves(built) is None
    monkeypatch.delenv("DBT_TARGET")
    before = read_code(built.settings).fingerprint
    model = built.settings.dbt_dir / "models" / "asks.sql"
    model.write_text("select {{ env_var('SOMETHING') }}")
    asked = read_code(built.settings).fingerprint
    monkeypatch.setenv("SOMETHING", "2")
    assert len({before, asked, read_code(built.settings).fingerprint}) == 3
    model.unlink()


def test_a_file_edited_while_dbt_runs_is_not_taken_as_built(tiny: Tiny) -> None:
    from lakehouse.locks import file_lock

    model = tiny.settings.dbt_dir / "models" / "bystander.sql"
    tiny.settings.build_dir.mkdir(parents=True)
    with file_lock(tiny.settings.build_lock, purpose="the test"):
        process = tiny.start("build")
        assert process.stdout is not None
        assert any("waiting for the test" in line for line in process.stdout)
        # dbt has read the project; a copy that keeps the old time must not hide the change.
        old = model.stat()
        edit(model, "1 as one", "1 as one, 2 as two")
        os.utime(model, ns=(old.st_atime_ns, old.st_mtime_ns))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert leaves(tiny) is None
    assert not green.unit_tests_are_proven(tiny.settings)


@pytest.mark.slow
@pytest.mark.guard
def test_unit_tests_run_again_when_the_code_changed_or_they_were_not_green(
    root: Root, tiny: Tiny
) -> None:
    project = root.settings.dbt_dir / "models" / "tiny.yml"
    assert root.lake("build").returncode == 0
    assert green.unit_tests_are_proven(root.settings)

    edit(project, "expect: {rows: [{one: 1}]}", "expect: {rows: [{one: 3}]}")
    red = root.lake("build")
    assert red.returncode == 1
    assert "one_is_one" in red.stdout
    tiny.land(3)
    root.lake("build")
    assert UNIT_TEST in last_nodes(tiny), "it was not green"

    edit(project, "expect: {rows: [{one: 3}]}", "expect: {rows: [{one: 1}]}")
    assert root.lake("build").returncode == 0
    tiny.land(4)
    tiny.dbt("build")
    assert UNIT_TEST in last_nodes(tiny), "plain dbt stays plain dbt"
    assert leaves(tiny)


@pytest.mark.slow
def test_a_build_file_that_was_lost_takes_the_proof_with_it(root: Root, tiny: Tiny) -> None:
    assert root.lake("build").returncode == 0
    root.settings.build_file.write_bytes(b"not a database")
    tiny.land(3)
    done = root.lake("build")
    assert done.returncode == 0, done.stdout
    assert UNIT_TEST in last_nodes(tiny)
    assert list_versions(root.settings)[0].rows["marts.members"] == 3
    assert leaves(tiny)


def test_the_names_of_commits_are_those_that_a_build_reads(tmp_path: Path) -> None:
    table = RawTable(tmp_path, "shop", "customers")
    seen = {green.commits_digest(tmp_path, [("shop", "customers")])}
    for name in (
        "load_date=2026-01-01/20260101T000000000000Z-aaaaaa.parquet",
        "load_date=2026-01-01/.20260101T000000000000Z-bbbbbb.parquet",
        "load_date=2026-01-01/20260101T000000000000Z-cccccc.parquet.set-aside",
        "elsewhere/20260101T000000000000Z-dddddd.parquet",
        "load_date=2026-01-02/20260102T000000000000Z-eeeeee.parquet",
    ):
        path = table.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        known = len(table.commits())
        path.touch()
        is_commit = len(table.commits()) > known
        digest = green.commits_digest(tmp_path, [("shop", "customers")])
        assert (digest not in seen) == is_commit, name
        seen.add(digest)


@pytest.mark.slow
def test_a_build_says_in_short_what_it_did_and_keeps_dbts_output(root: Root, tiny: Tiny) -> None:
    done = root.lake("build")
    version = list_versions(root.settings)[0].id
    assert "Built      3 tables, 4 of 4 tests passed, " in done.stdout
    assert f"Result     published version {version}" in done.stdout
    assert "dbt build: 7 nodes" in done.stderr
    [log] = logs_dir(root.settings).iterdir()
    assert "Completed successfully" in log.read_text()
    assert max(map(len, [*done.stdout.splitlines(), *done.stderr.splitlines()])) <= 80

    tiny.land(2)
    red = root.lake("build")
    assert red.returncode == 1
    assert "Red        unique_members_id: Got 1 result" in red.stdout
    assert "Result     not published: unique_members_id (fail)" in red.stdout
    named = root.settings.root / red.stdout.split("Log")[1].strip()
    assert "Got 1 result" in named.read_text()

    edit(root.settings.dbt_dir / "models" / "members.sql", "ref('base_", "ref('no_base_")
    broken = root.lake("build")
    assert broken.returncode == 2
    assert "Failed     Compilation Error" in broken.stdout
    assert "depends on a node named 'no_base_customers'" in " ".join(broken.stdout.split())


def test_a_selection_of_nothing_is_told_in_dbts_words_and_is_no_failure(
    root: Root, tiny: Tiny
) -> None:
    done = root.lake("build", "-s", "nobody")
    assert done.returncode == 0
    assert "Failed" not in done.stdout
    assert "does not match any enabled nodes" in " ".join(done.stdout.split())


def test_verbose_shows_dbts_own_output(root: Root, tiny: Tiny) -> None:
    done = root.lake("build", "--verbose")
    assert done.returncode == 0
    assert "Completed successfully" in done.stdout
    assert "Built " not in done.stdout


def test_only_the_last_logs_are_kept(tmp_path: Path) -> None:
    from lakehouse.dbt import build

    settings = Settings(root=tmp_path)
    for _ in range(30):
        build._new_log(settings).touch()
    assert len(list(logs_dir(settings).iterdir())) == 10
