"""What a plain `dbt build` does to readers: the real macros, hooks, plugin and adapter."""

import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from support.tiny_project import Tiny, wait_until

from lakehouse.locks import current_holder
from lakehouse.publishing import list_versions, open_published, rollback
from lakehouse.publishing.held_back import held_back_file

DUCKDB_CLIENT = Path(sys.executable).with_name("duckdb")


def checksum(tiny: Tiny) -> str:
    return hashlib.sha256(tiny.settings.published_file.read_bytes()).hexdigest()


def published_ids(tiny: Tiny) -> list[int]:
    with open_published(tiny.settings) as connection:
        rows = connection.execute("select id from marts.members order by id").fetchall()
    return [row[0] for row in rows]


def test_an_empty_raw_layer_builds_and_publishes_typed_tables(tiny: Tiny) -> None:
    tiny.dbt("build")
    with open_published(tiny.settings) as connection:
        described = connection.execute("describe marts.members").fetchall()
        schemas = connection.execute(
            "select distinct schema_name from duckdb_tables() order by 1"
        ).fetchall()
    assert [row[:2] for row in described] == [("id", "BIGINT")]
    assert schemas == [("lake",), ("marts",)], "private schemas stay private"


@pytest.mark.slow
@pytest.mark.guard
def test_a_build_reads_each_commit_once_and_an_idle_one_publishes_nothing(tiny: Tiny) -> None:
    tiny.land(1, 2)
    tiny.dbt("build")
    assert published_ids(tiny) == [1, 2]
    tiny.land(3)
    assert "published version" in tiny.dbt("build")
    assert published_ids(tiny) == [1, 2, 3]
    before = checksum(tiny)
    assert "nothing new to publish" in tiny.dbt("build")
    assert "nothing new to publish" in tiny.dbt("build", "--full-refresh")
    assert checksum(tiny) == before
    assert len(list_versions(tiny.settings)) == 2


@pytest.mark.slow
@pytest.mark.guard
def test_a_commit_that_becomes_visible_late_is_read_although_its_id_is_smaller(
    tiny: Tiny,
) -> None:
    late = tiny.land(1)
    hidden = late.rename(late.with_name("." + late.name))
    tiny.land(2)
    tiny.dbt("build")
    hidden.rename(late)
    tiny.dbt("build")
    assert published_ids(tiny) == [1, 2]


@pytest.mark.slow
@pytest.mark.guard
def test_a_red_test_holds_the_build_back_until_that_test_is_green_again(tiny: Tiny) -> None:
    tiny.land(1)
    tiny.dbt("build")
    good = checksum(tiny)
    planted = tiny.land(1)
    output = tiny.dbt("build", fails=True)
    assert "not published: unique_members_id (fail)" in output
    assert checksum(tiny) == good
    assert held_back_file(tiny.settings).exists()
    partial = tiny.dbt("build", "--select", "bystander")
    assert "not published: unique_members_id (fail)" in partial, "a green part releases nothing"
    assert checksum(tiny) == good
    planted.rename(planted.with_name(planted.name + ".set-aside"))
    assert "published version" not in tiny.dbt("run", "--full-refresh")
    assert checksum(tiny) == good, "only a build publishes"
    tiny.dbt("build", "--full-refresh")
    assert published_ids(tiny) == [1]
    assert not held_back_file(tiny.settings).exists()


@pytest.mark.slow
@pytest.mark.guard
def test_a_table_that_was_rebuilt_without_its_tests_is_not_published(tiny: Tiny) -> None:
    tiny.dbt("build")
    tiny.land(1, 1)
    tiny.dbt("run")
    output = tiny.dbt("build", "--select", "bystander")
    assert "unique_members_id (not run since its table was built)" in output
    assert published_ids(tiny) == []


def test_a_part_of_a_new_warehouse_is_not_published(tiny: Tiny) -> None:
    output = tiny.dbt("build", "--select", "bystander")
    assert "members (never run)" in output
    assert list_versions(tiny.settings) == []


@pytest.mark.slow
@pytest.mark.guard
def test_a_killed_build_holds_back_what_it_had_begun(
    tiny: Tiny,
) -> None:
    tiny.dbt("build")
    model = tiny.settings.dbt_dir / "models" / "members.sql"
    text = model.read_text()
    # Busy for minutes, so that the kill always comes in the middle of the model.
    endless = "(select count(*) from range(100000000000) where sqrt(range) = -1)"
    model.write_text(text.replace("select id", f"select id + {endless} as id"))
    tiny.land(4)
    process = tiny.start("build")
    wait_until(lambda: current_holder(tiny.settings.build_lock) is not None)
    wait_until(lambda: "START sql incremental model marts.members" in _next_line(process))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    model.write_text(text)
    output = tiny.dbt("build", "--select", "bystander")
    assert "members (interrupted)" in output
    tiny.land(5)
    tiny.dbt("build")
    assert published_ids(tiny) == [4, 5]


def _next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.slow
@pytest.mark.guard
def test_empty_is_refused_because_it_would_lose_rows(tiny: Tiny) -> None:
    tiny.land(1)
    output = tiny.dbt("build", "--empty", fails=True)
    assert "would mark raw commits as read without reading them" in output
    tiny.dbt("build")
    assert published_ids(tiny) == [1]


@pytest.mark.slow
@pytest.mark.guard
def test_a_damaged_commit_stops_the_build_and_names_file_and_next_command(tiny: Tiny) -> None:
    tiny.land(1)
    tiny.dbt("build")
    bad = tiny.land(2)
    bad.write_bytes(b"PAR1 nonsense")
    output = tiny.dbt("build", fails=True)
    assert f"lake raw set-aside {bad.stem}" in output
    assert published_ids(tiny) == [1]


def flip_a_bit(commit: Path) -> None:
    """Change a value so that nothing but a checksum can tell."""
    ids = pq.ParquetFile(commit).metadata.row_group(0).column(0)
    content = bytearray(commit.read_bytes())
    content[ids.data_page_offset + ids.total_compressed_size - 1] ^= 1
    commit.write_bytes(content)


@pytest.mark.slow
@pytest.mark.guard
def test_a_flipped_bit_is_found_before_it_is_read(tiny: Tiny) -> None:
    old = tiny.land(1)
    tiny.dbt("build")
    flip_a_bit(old)
    output = tiny.dbt("build", "--full-refresh", fails=True)
    assert f"lake raw set-aside {old.stem}" in output
    assert "Traceback" not in output
    new = tiny.land(2)
    flip_a_bit(new)
    output = tiny.dbt("build", fails=True)
    assert f"lake raw set-aside {new.stem}" in output
    assert published_ids(tiny) == [1]


@pytest.mark.slow
@pytest.mark.guard
def test_a_commit_that_was_read_and_has_gone_stops_the_build_and_names_the_way_out(
    tiny: Tiny,
) -> None:
    gone = tiny.land(1)
    tiny.land(2)
    tiny.dbt("build")
    gone.rename(gone.with_name(gone.name + ".set-aside"))
    output = " ".join(tiny.dbt("build", fails=True).split())
    assert f"the raw commit {gone.stem}" in output
    way_out = re.search(r"run `lake (build --full-refresh -s [^`]*)`", output)
    assert way_out is not None
    assert published_ids(tiny) == [1, 2]
    tiny.dbt(*way_out[1].split())
    tiny.dbt("build")
    assert published_ids(tiny) == [2]


@pytest.mark.slow
@pytest.mark.guard
@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_build_file_that_cannot_be_opened_is_set_aside_and_rebuilt(
    tiny: Tiny, damage: bytes | None
) -> None:
    tiny.land(1)
    tiny.dbt("build")
    build_file = tiny.settings.build_file
    if damage is None:
        log = build_file.with_name(build_file.name + ".wal")
        log.write_bytes(b"\x00garbage" * 100)
    else:
        build_file.write_bytes(damage)
    tiny.land(2)
    output = tiny.dbt("build")
    assert published_ids(tiny) == [1, 2]
    if damage == b"not a database":  # an empty file is a new one, a torn log is cut off
        assert "set aside" in output
        assert build_file.with_name(build_file.name + ".broken").exists()


@pytest.mark.slow
def test_who_waits_says_whom_it_waits_for(tiny: Tiny) -> None:
    tiny.dbt("build")
    first = tiny.start("build", LAKE_INVOKED_BY="a Dagster run")
    second = tiny.start("build")
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    waiting = [o for o in outputs if "waiting for dbt build from" in o]
    assert len(waiting) == 1, outputs


@pytest.mark.slow
def test_docs_and_compile_work_from_a_clean_clone_and_publish_nothing(tiny: Tiny) -> None:
    tiny.dbt("compile")
    tiny.dbt("docs", "generate")
    assert list_versions(tiny.settings) == []


@pytest.mark.slow
def test_a_rollback_is_not_undone_by_an_idle_build(tiny: Tiny) -> None:
    tiny.land(1)
    tiny.dbt("build")
    tiny.land(2)
    tiny.dbt("build")
    rollback(tiny.settings)
    assert published_ids(tiny) == [1]
    assert "rolled back" in tiny.dbt("build")
    assert published_ids(tiny) == [1]
    tiny.land(3)
    tiny.dbt("build")
    assert published_ids(tiny) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.guard
def test_the_stable_command_line_client_reads_what_is_published(tiny: Tiny) -> None:
    tiny.land(7)
    tiny.dbt("build")
    command = [str(DUCKDB_CLIENT), "-readonly", "-csv", "-noheader"]
    query = "select id from lakehouse.marts.members"
    command += [str(tiny.settings.published_file), "-c", query]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "7"
    write = [*command[:-1], "delete from marts.members"]
    assert subprocess.run(write, capture_output=True).returncode != 0


@pytest.mark.slow
def test_the_adapter_cannot_open_the_build_file_while_dbt_does_but_readers_never_wait(
    tiny: Tiny,
) -> None:
    tiny.land(1)
    tiny.dbt("build")
    with duckdb.connect(str(tiny.settings.published_file), read_only=True) as reader:
        tiny.land(2)
        tiny.dbt("build")
        assert reader.execute("select count(*) from marts.members").fetchone() == (1,)
    assert published_ids(tiny) == [1, 2]


READER = """
import pathlib, sys, time, duckdb
path, stop = sys.argv[1:3]
seen = 0
while not pathlib.Path(stop).exists():
    with duckdb.connect(path, read_only=True) as session:
        for _ in range(20):
            said, counted, largest = session.execute(
                "select (select row_count from lake.tables where table_name = 'members'),"
                " (select count(*) from marts.members), (select max(id) from marts.members)"
            ).fetchone()
            assert said == counted == largest, (said, counted, largest)
            seen += 1
            time.sleep(0.01)  # eight that never pause would leave the builds no processor
print(seen)
"""


@pytest.mark.slow
def test_eight_readers_stay_open_and_open_again_through_twenty_builds(
    tiny: Tiny, tmp_path: Path
) -> None:
    tiny.land(1)
    tiny.dbt("build")
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(tiny.settings.published_file), str(stop)]
    pipe = subprocess.PIPE
    readers = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(8)]
    try:
        for number in range(2, 22):
            tiny.land(number)
            tiny.dbt("build")
        stop.touch()
        for reader in readers:
            output, errors = reader.communicate(timeout=60)
            assert reader.returncode == 0, errors
            assert int(output) > 0
    finally:
        for reader in readers:
            reader.kill()
    assert len(published_ids(tiny)) == 21


ORDERS = {
    "models/base_orders.sql": """
{{ config(materialized='incremental', schema='base', incremental_strategy='append') }}
select * from {{ new_commits('shop', 'orders') }}
""",
    "models/orders.sql": """
{{ config(materialized='table', schema='marts') }} select id from {{ ref('base_orders') }}
""",
    "models/base_readings.sql": """
{{ config(materialized='incremental', schema='base', incremental_strategy='append') }}
select * from {{ new_commits('sensors', 'readings') }}
""",
    "models/readings.sql": """
{{ config(materialized='table', schema='marts') }} select id from {{ ref('base_readings') }}
""",
}


@pytest.fixture
def two_tables(tiny: Tiny) -> Tiny:
    """The tiny project with a second table of its source, and a source that is not of it."""
    yml = tiny.settings.dbt_dir / "models" / "tiny.yml"
    table = "      - name: customers\n"
    declared = "        columns: [{name: id, data_type: bigint}]\n"
    text = yml.read_text()
    assert table + declared in text
    orders = "      - name: orders\n" + declared
    sensors = "  - name: sensors\n    tables:\n      - name: readings\n" + declared
    yml.write_text(text.replace(table + declared, table + declared + orders + sensors))
    for name, sql in ORDERS.items():
        (tiny.settings.dbt_dir / name).write_text(sql)
    return tiny


def published(tiny: Tiny, table: str) -> list[int]:
    with open_published(tiny.settings) as connection:
        return [row[0] for row in connection.execute(f"from marts.{table} order by 1").fetchall()]


def test_a_version_is_of_one_set_of_commits(two_tables: Tiny) -> None:
    """A part of what was landed together is not published, whatever was selected."""
    tiny = two_tables
    tiny.land(1)
    tiny.land(10, table="orders")
    tiny.dbt("build")
    tiny.land(2)
    tiny.land(20, table="orders")
    output = tiny.dbt("build", "-s", "source:shop.customers+")
    assert "orders (has not seen 1 new commit)" in output
    assert (published(tiny, "members"), published(tiny, "orders")) == ([1], [10])
    assert "published version" in tiny.dbt("build")
    assert (published(tiny, "members"), published(tiny, "orders")) == ([1, 2], [10, 20])


@pytest.mark.slow
@pytest.mark.guard
def test_a_source_of_its_own_does_not_wait_for_others(two_tables: Tiny) -> None:
    """Its commits are not read by a build of another source, so they are not missing in it."""
    tiny = two_tables
    tiny.land(1)
    tiny.dbt("build")
    tiny.land(2)
    tiny.land(7, source="sensors", table="readings")
    assert "published version" in tiny.dbt("build", "-s", "source:shop+")
    assert (published(tiny, "members"), published(tiny, "readings")) == ([1, 2], [])
    assert "published version" in tiny.dbt("build", "-s", "source:sensors+")
    assert published(tiny, "readings") == [7]


@pytest.mark.slow
@pytest.mark.guard
def test_what_a_part_has_not_seen_is_built_by_the_next_whole(two_tables: Tiny) -> None:
    """A model that reads two others is as far as the less advanced of them."""
    tiny = two_tables
    (tiny.settings.dbt_dir / "models" / "both.sql").write_text(
        "{{ config(materialized='incremental', schema='marts', incremental_strategy='append') }}\n"
        "select id from {{ ref('base_customers') }}\n"
        "{% if is_incremental() %} where {{ is_new_commit() }} {% endif %}\n"
        "union all\nselect id from {{ ref('base_orders') }}\n"
        "{% if is_incremental() %} where {{ is_new_commit() }} {% endif %}\n"
    )
    tiny.land(1)
    tiny.land(10, table="orders")
    tiny.dbt("build")
    tiny.land(2)
    tiny.land(20, table="orders")
    tiny.dbt("build", "-s", "base_orders", "both")
    tiny.dbt("build", "-s", "base_customers", "both")
    tiny.dbt("build")
    assert published(tiny, "both") == [1, 2, 10, 20]


@pytest.mark.slow
@pytest.mark.guard
def test_changed_code_is_never_mixed_with_rows_of_the_old(tiny: Tiny) -> None:
    """An incremental model whose SQL, or that of something it reads, has changed is built anew."""
    tiny.land(1)
    tiny.dbt("build")
    model = tiny.settings.dbt_dir / "models" / "members.sql"
    model.write_text(model.read_text().replace("select id", "select id * 10 as id"))
    tiny.land(2)
    tiny.dbt("build")
    assert published_ids(tiny) == [10, 20]
    base = tiny.settings.dbt_dir / "models" / "base_customers.sql"
    base.write_text(base.read_text().replace("select *", "select * replace (id + 1 as id)"))
    tiny.dbt("build")
    assert published_ids(tiny) == [20, 30]
    macro = tiny.settings.dbt_dir / "macros" / "a_macro.sql"
    macro.write_text("{% macro factor() %}100{% endmacro %}")
    model.write_text(model.read_text().replace("id * 10", "id * {{ factor() }}"))
    tiny.dbt("build")
    macro.write_text("{% macro factor() %}1000{% endmacro %}")
    tiny.land(3)
    tiny.dbt("build")
    assert published_ids(tiny) == [2000, 3000, 4000]
