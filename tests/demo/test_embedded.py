"""The embedded PostgreSQL: private, shared, and on its feet again after every kind of death."""

import errno
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from support.private_root import private_root

from demo.postgres.account import Account, let_pass
from demo.postgres.embedded import (
    SUPERUSER,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    stop_abandoned_server,
)
from lakehouse.settings import Settings

_USER = """
import sys, time
from pathlib import Path
from demo.postgres.embedded import EmbeddedPostgres
from lakehouse.settings import Settings
with EmbeddedPostgres(Settings(root=Path(sys.argv[1]))) as server:
    print(server.dsn("postgres"), flush=True)
    sys.stdin.read()
"""
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(server_root: Path) -> Iterator[Settings]:
    """A project that has never had a server."""
    found = Settings(root=server_root)
    yield found
    stop_abandoned_server(found)


@pytest.fixture(scope="module")
def stopped_cluster() -> Iterator[Path]:
    with private_root() as root:
        with EmbeddedPostgres(Settings(root=root)):
            pass
        yield root


@pytest.fixture
def settings(fresh: Settings, stopped_cluster: Path) -> Settings:
    """A project whose server has run before; copying it is faster than making it."""
    subprocess.run(["cp", "-a", str(stopped_cluster / "data"), str(fresh.root)], check=True)
    return fresh


def other_user(settings: Settings) -> subprocess.Popen[str]:
    """Another process that uses the server until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _USER, str(settings.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def pid_file(settings: Settings) -> Path:
    return settings.postgres_dir / "cluster" / "postmaster.pid"


def server_pid(settings: Settings) -> int:
    return int(pid_file(settings).read_text().split("\n", 1)[0])


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_starts_in_utc_without_network_and_stops_with_its_last_user(fresh: Settings) -> None:
    settings = fresh
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select current_user") == "lake_extractor"
        assert ask(server.dsn(), "select current_database()") == "shop_db"
        assert ask(server.dsn(), "show timezone") == "UTC"
        assert ask(server.dsn(), "show listen_addresses") == ""
        assert ask(server.dsn(), "show fsync") == "on"
        folder = pid_file(settings).parent.stat()
        assert folder.st_mode & 0o077 == 0
    assert not pid_file(settings).exists()


def test_data_survives_a_stop(settings: Settings) -> None:
    with EmbeddedPostgres(settings) as server, psycopg.connect(server.dsn(SUPERUSER)) as connection:
        connection.execute("create table kept as select 7 as n")
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(SUPERUSER), "select n from kept") == 7


def test_last_of_several_processes_stops_it(settings: Settings) -> None:
    first = other_user(settings)
    second = other_user(settings)
    pid = server_pid(settings)
    leave(first)
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select 1") == 1
    assert server_pid(settings) == pid
    leave(second)
    assert not pid_file(settings).exists()


def test_nested_users_in_one_process(settings: Settings) -> None:
    with EmbeddedPostgres(settings) as outer:
        with EmbeddedPostgres(settings):
            pass
        assert ask(outer.dsn(), "select 1") == 1
    assert not pid_file(settings).exists()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def watchmen(settings: Settings) -> list[psutil.Process]:
    home = str(settings.postgres_dir)
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (words := process.info["cmdline"] or [])[-1:] == [home]
        and words[-2].endswith("postgres/watch.py")
    ]


def wait_until_stopped(settings: Settings) -> None:
    deadline = time.monotonic() + 60
    while pid_file(settings).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_server_stops_by_itself_when_its_last_user_is_killed(settings: Settings) -> None:
    first, second = other_user(settings), other_user(settings)
    pid = server_pid(settings)
    kill(first)
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select 1") == 1
    assert server_pid(settings) == pid
    kill(second)
    wait_until_stopped(settings)
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select 1") == 1
    assert not pid_file(settings).exists()
    deadline = time.monotonic() + 60
    while watchmen(settings):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_newcomer_after_a_kill_finds_a_server(settings: Settings) -> None:
    """Whether the watchman is before, beside or behind him."""
    for _ in range(5):
        kill(other_user(settings))
        with EmbeddedPostgres(settings) as server:
            assert ask(server.dsn(), "select 1") == 1
    assert not pid_file(settings).exists()


def test_server_without_watchman_is_stopped_by_the_next_user(settings: Settings) -> None:
    user = other_user(settings)
    watchmen(settings)[0].kill()
    assert not stop_abandoned_server(settings)
    kill(user)
    time.sleep(0.3)
    assert pid_file(settings).exists()
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select 1") == 1
    assert not pid_file(settings).exists()


def test_abandoned_server_can_be_stopped(settings: Settings) -> None:
    user = other_user(settings)
    watchmen(settings)[0].kill()
    kill(user)
    assert stop_abandoned_server(settings)
    assert not pid_file(settings).exists()
    assert stop_abandoned_server(settings)


def test_committed_rows_survive_a_killed_server(settings: Settings) -> None:
    with EmbeddedPostgres(settings) as server:
        with psycopg.connect(server.dsn(SUPERUSER)) as connection:
            connection.execute("create table kept as select generate_series(1, 1000) as n")
        # The server becomes our zombie: its number lives, its pid file lies.
        os.kill(server_pid(settings), signal.SIGKILL)
    assert pid_file(settings).exists()
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(SUPERUSER), "select count(*) from kept") == 1000
    assert not pid_file(settings).exists()


def test_pid_file_that_names_another_program(settings: Settings) -> None:
    """After a restart of the machine its number may be anybody's, also of our own account."""
    with EmbeddedPostgres(settings):
        text = pid_file(settings).read_text()
        owner = pid_file(settings).stat()
    owned = {"user": owner.st_uid} if os.geteuid() == 0 else {}
    bystander = subprocess.Popen(["sleep", "60"], **owned)  # type: ignore[call-overload]
    try:
        lines = [str(bystander.pid), *text.split("\n")[1:]]
        pid_file(settings).write_text("\n".join(lines))
        os.chown(pid_file(settings), owner.st_uid, owner.st_gid)
        with EmbeddedPostgres(settings) as server:
            assert ask(server.dsn(), "select 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_half_made_folder_is_made_anew(fresh: Settings) -> None:
    half = fresh.postgres_dir / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(fresh) as server:
        assert ask(server.dsn(), "select 1") == 1
    assert not half.exists()


def test_many_processes_come_and_go_at_once(settings: Settings) -> None:
    script = _USER.replace("sys.stdin.read()", "time.sleep(0.05)")
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", f"for _ in range(5):\n{_indented(script)}", str(settings.root)],
            stdout=subprocess.DEVNULL,
            cwd=CHECKOUT,
        )
        for _ in range(4)
    ]
    assert [process.wait(120) for process in crowd] == [0] * 4
    assert not pid_file(settings).exists()


def _indented(script: str) -> str:
    return "".join(f"    {line}\n" for line in script.splitlines())


def test_deep_folders_with_awkward_names(server_root: Path) -> None:
    root = server_root / ("deep " * 12) / ("ä,'%" * 12) / "end"
    settings = Settings(root=root)
    assert len(str(settings.postgres_dir)) > 107
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select current_user") == "lake_extractor"
        sockets = Path(pid_file(settings).read_text().splitlines()[4])
        assert sockets.stat().st_mode & 0o077 == 0
    assert not sockets.exists()


def test_percent_and_spaces_in_a_short_folder(server_root: Path) -> None:
    with EmbeddedPostgres(Settings(root=server_root / "a b%2F@:?é")) as server:
        assert ask(server.dsn(), "select 1") == 1


def test_variables_of_another_server_do_not_disturb(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "example.org"}.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select 1") == 1


def test_data_of_another_major_version_is_named(settings: Settings) -> None:
    (settings.postgres_dir / "cluster" / "PG_VERSION").write_text("16\n")
    with pytest.raises(
        EmbeddedPostgresError, match="of PostgreSQL 16, the server here is"
    ) as raised:
        EmbeddedPostgres(settings).__enter__()
    assert "\n" not in str(raised.value)


def test_folder_that_is_no_cluster_is_named(fresh: Settings) -> None:
    (fresh.postgres_dir / "cluster").mkdir(parents=True, mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match="no PostgreSQL that names its version"):
        EmbeddedPostgres(fresh).__enter__()


def test_server_that_cannot_start_gives_its_own_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (settings.postgres_dir / "cluster" / "postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = 'plenty'\n")
    monkeypatch.setattr("demo.postgres.server._START_ATTEMPTS", 1)
    with pytest.raises(EmbeddedPostgresError, match=r"did not start: .*FATAL.*Next: read .*log"):
        EmbeddedPostgres(settings).__enter__()
    monkeypatch.undo()


def test_dsn_outside_the_block_is_refused(settings: Settings) -> None:
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        EmbeddedPostgres(settings).dsn()


def as_nobody(work: Callable[[], None]) -> int:
    """Run a function in a child process without privileges; 0 if it did not raise."""
    child = os.fork()
    if child == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_works_for_a_normal_user(server_root: Path) -> None:
    """The rest of this file proves the case of root when it runs as root."""
    nobody = pwd.getpwnam("nobody")
    home = server_root / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    for folder in home.parents:
        folder.chmod(folder.stat().st_mode | 0o001)
    settings = Settings(root=home)

    def use() -> None:
        with EmbeddedPostgres(settings) as server:
            assert ask(server.dsn(SUPERUSER), "select current_user") == "postgres"
            assert Path(f"/proc/{server_pid(settings)}").stat().st_uid == nobody.pw_uid
        assert not pid_file(settings).exists()

    assert as_nobody(use) == 0
    # Root afterwards: the folder's owner goes on to run the server.
    with EmbeddedPostgres(settings) as server:
        assert ask(server.dsn(), "select 1") == 1
        assert pid_file(settings).stat().st_uid == nobody.pw_uid
    assert as_nobody(use) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_a_private_folder_on_the_way_stays_private(server_root: Path) -> None:
    private = server_root / "private"
    private.mkdir(mode=0o700)
    settings = Settings(root=private / "project")
    for _ in range(2):
        with EmbeddedPostgres(settings) as server:
            assert ask(server.dsn(), "select 1") == 1
    assert private.stat().st_mode & 0o007 == 0

    def enter() -> None:
        with pytest.raises(PermissionError):
            (private / "project").stat()

    server_root.chmod(server_root.stat().st_mode | 0o001)
    assert as_nobody(enter) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_a_folder_that_cannot_be_opened_to_one_account_is_named(
    server_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    private = server_root / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(EmbeddedPostgresError, match="Operation not supported") as raised:
        let_pass(Account(pwd.getpwnam("nobody").pw_uid, 0), private)
    assert f"chmod o+x {private}" in raised.value.next_step
    assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_folder_of_another_user_is_named(settings: Settings) -> None:
    for folder in settings.postgres_dir.parents:
        folder.chmod(folder.stat().st_mode | 0o001)

    def use() -> None:
        with pytest.raises(EmbeddedPostgresError, match="belongs to another user"):
            EmbeddedPostgres(settings).__enter__()

    assert as_nobody(use) == 0


def test_start_and_stop_are_fast_enough_for_an_idle_run(settings: Settings) -> None:
    """Not a benchmark: a poll by the second somewhere would show here."""
    started = time.monotonic()
    for _ in range(3):
        with EmbeddedPostgres(settings):
            pass
    assert time.monotonic() - started < 6


def test_a_socket_path_limit_is_real() -> None:
    """The bound of 103 bytes is below what this system refuses."""
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
        probe.bind("/tmp/" + "x" * 110)
