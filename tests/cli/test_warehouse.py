"""``lake build``, ``versions``, ``rollback`` and ``sql``."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from support.lake import LAKE, Root, wait_line
from support.tiny_project import make_tiny, wait_until

from lakehouse.locks import current_holder, file_lock
from lakehouse.publishing import list_versions, open_published
from lakehouse.settings import Settings


def test_versions_are_listed_newest_first_with_the_one_readers_see(lake, root: Root) -> None:
    first = root.publish({"marts.fct_sales": 3})
    second = root.publish({"marts.fct_sales": 1234})
    code, out, _ = lake("versions")
    lines = out.splitlines()
    assert code == 0
    assert [first in line for line in lines] == [False, False, False, True, False]
    assert lines[2].startswith(f"*   {second}")
    assert lines[2].endswith("1,234")
    assert max(map(len, lines)) <= 80
    found = json.loads(lake("versions", "--json")[1])
    assert [(v["id"], v["is_current"], v["rows"]) for v in found] == [
        (second, True, {"marts.fct_sales": 1234}),
        (first, False, {"marts.fct_sales": 3}),
    ]


def test_rollback_and_back(lake, root: Root) -> None:
    first = root.publish({"marts.fct_sales": 3})
    second = root.publish({"marts.fct_sales": 4})
    code, out, _ = lake("rollback")
    assert code == 0
    assert out.startswith(f"Readers now see version {first}")
    assert lake("sql", "--csv", "select count(*) as n from marts.fct_sales")[1] == "n\n3\n"
    assert "rolled back" in lake("status")[1]
    assert lake("rollback", second)[0] == 0
    assert lake("sql", "--csv", "select count(*) as n from marts.fct_sales")[1] == "n\n4\n"
    code, _, err = lake("rollback", "2031")
    assert (code, err.count("\n")) == (1, 1)


def test_sql_prints_a_table_json_or_csv(lake, root: Root) -> None:
    root.publish()
    query = "select id, id * 1.5 as price from marts.fct_sales where id > 0 order by id"
    assert lake("sql", query) == (
        0,
        "┌───────┬───────────────┐\n"
        "│  id   │     price     │\n"
        "│ int64 │ decimal(21,1) │\n"
        "├───────┼───────────────┤\n"
        "│     1 │           1.5 │\n"
        "│     2 │           3.0 │\n"
        "└───────┴───────────────┘\n",
        "",
    )
    assert lake("sql", "--csv", query)[1] == "id,price\n1,1.5\n2,3.0\n"
    assert json.loads(lake("sql", "--json", query)[1])[0]["id"] == 1
    assert lake("sql", "--json", "--csv", query)[0] == 1


def test_sql_speaks_utc(lake, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    root.publish()
    query = "select timestamptz '2026-01-02 03:04:05+00' as at"
    assert lake("sql", "--csv", query)[1] == "at\n2026-01-02 03:04:05+00\n"


@pytest.mark.parametrize(
    "statement",
    ["create table marts.x (i int)", "delete from marts.fct_sales", "drop table marts.fct_sales"],
)
def test_sql_refuses_to_write(lake, root: Root, statement: str) -> None:
    root.publish()
    before = root.settings.published_file.read_bytes()
    code, out, err = lake("sql", statement)
    assert (code, out) == (1, "")
    assert err.startswith("Error: published versions are read-only")
    assert err.count("\n") == 1
    assert root.settings.published_file.read_bytes() == before


def test_sql_says_what_is_wrong_with_a_query(lake, root: Root) -> None:
    root.publish()
    code, _, err = lake("sql", "from marts.no_such_table")
    assert code == 1
    assert "no_such_table does not exist" in err
    assert err.count("\n") == 1


def test_sql_reads_an_earlier_version(lake, root: Root) -> None:
    first = root.publish({"marts.fct_sales": 3})
    root.publish({"marts.fct_sales": 4})
    query = "select count(*) as n from marts.fct_sales"
    assert lake("sql", "--csv", "--as-of", first, query)[1] == "n\n3\n"
    code, _, err = lake("sql", "--as-of", "nonsense", query)
    assert code == 1
    assert "nonsense" in err


@pytest.mark.parametrize("arguments", [["sql"], ["sql", "select 1"]])
def test_sql_without_a_version_says_how_to_get_one(lake, arguments: list[str]) -> None:
    assert lake(*arguments) == (
        1,
        "",
        "Error: nothing has been published yet. Next: run `make demo` or `lake build`.\n",
    )


def test_the_prompt_is_read_only_and_keeps_its_version(root: Root) -> None:
    root.publish({"marts.fct_sales": 3})
    prompt = subprocess.Popen(
        [str(LAKE), "sql"],
        env=root.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert prompt.stdin is not None
    assert prompt.stdout is not None
    prompt.stdin.write(".mode csv\nselect count(*) from marts.fct_sales;\n")
    prompt.stdin.flush()
    assert [prompt.stdout.readline().strip() for _ in range(2)] == ["count_star()", "3"]
    root.publish({"marts.fct_sales": 4})
    prompt.stdin.write("select count(*) from marts.fct_sales;\ncreate table x (i int);\n")
    out, err = prompt.communicate(timeout=30)
    assert out.split() == ["count_star()", "3"]
    assert "read-only" in err


@pytest.mark.slow
def test_build_runs_dbt_with_its_arguments_and_returns_its_code(root: Root) -> None:
    tiny = make_tiny(root.settings)
    tiny.land(1, 2)
    done = root.lake("build", "-s", "bystander")
    assert done.returncode == 0, done.stdout
    assert "Built      1 tables, 2 of 2 tests passed" in done.stdout
    assert "not published: base_customers (never run)" in done.stdout
    assert list_versions(root.settings) == [], "a partial build does not publish"
    assert root.lake("build").returncode == 0
    assert list_versions(root.settings)[0].rows["marts.members"] == 2
    tiny.land(2)
    red = root.lake("build")
    assert red.returncode == 1
    assert "unique_members_id" in red.stdout
    assert len(list_versions(root.settings)) == 1
    shown = root.lake("status").stdout
    assert "Held back" in shown
    assert "unique_members_id (fail)" in shown


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_interrupted_leaves_no_dbt_behind(
    root: Root, number: signal.Signals
) -> None:
    make_tiny(root.settings)
    root.settings.build_dir.mkdir(parents=True)
    with file_lock(root.settings.build_lock, purpose="the test"):
        build = subprocess.Popen(
            [str(LAKE), "build"],
            env=root.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # Now it waits for us, in the middle of its run.
        wait_line(build, "waiting for the test")
        children = _children(build.pid)
        assert children
        build.send_signal(number)
        _, err = build.communicate(timeout=60)
    assert build.returncode == 128 + number
    assert "Traceback" not in err
    wait_until(lambda: not any(map(_runs, children)))
    assert current_holder(root.settings.build_lock) is None


def test_a_build_whose_parent_is_killed_ends_too(root: Root) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("only Linux ends a child with its parent")
    make_tiny(root.settings)
    root.settings.build_dir.mkdir(parents=True)
    with file_lock(root.settings.build_lock, purpose="the test"):
        build = subprocess.Popen(
            [str(LAKE), "build"], env=root.environment, stdout=subprocess.PIPE, text=True
        )
        wait_line(build, "waiting for the test")
        children = _children(build.pid)
        build.kill()
        build.wait()
        wait_until(lambda: not any(map(_runs, children)))


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _runs(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_a_full_disk_is_said_in_one_sentence_and_a_freed_one_goes_on(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=95m", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        tiny = make_tiny(Settings(root=small / "root"))
        tiny.land(1)
        tiny.dbt("build")
        tiny.land(2)
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1024))
        command = [str(LAKE), "build"]
        environment = {**os.environ, "LAKE_ROOT": str(tiny.settings.root)}
        full = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert full.returncode == 1
        assert "is full" in full.stderr.splitlines()[-1]
        assert "Next: free space" in full.stderr.splitlines()[-1]
        with open_published(tiny.settings) as connection:
            assert connection.execute("select id from marts.members").fetchall() == [(1,)]
        filler.unlink()
        freed = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert freed.returncode == 0, freed.stdout
        with open_published(tiny.settings) as connection:
            assert connection.execute("select max(id) from marts.members").fetchone() == (2,)
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a folder read-only")
@pytest.mark.parametrize(
    "folder",
    [
        ".",
        *("dbt_project/logs", "dbt_project/target"),
        *("warehouse", "warehouse/build", "warehouse/versions"),
    ],
)
def test_a_build_where_nothing_can_be_written_says_so_in_one_sentence(
    root: Root, folder: str
) -> None:
    make_tiny(root.settings)
    root.publish()
    place = (root.settings.root / folder).resolve()
    place.mkdir(exist_ok=True)
    if subprocess.run(["mount", "--bind", str(place), str(place)], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        done = root.lake("build")
        assert (done.returncode, done.stdout.strip()) in ((1, ""), (1, "Building ..."))
        assert done.stderr.startswith(f"Error: nothing can be written in {place}")
        assert "Read-only file system" in done.stderr
        assert "Next: " in done.stderr
        assert done.stderr.count("\n") == 1
        assert root.lake("status").returncode == 0
        assert root.lake("versions").returncode == 0
        assert root.lake("sql", "--csv", "select 1 as one").stdout == "one\n1\n"
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert [p for p in root.settings.root.rglob("*") if "lake-probe" in p.name] == []
