"""A Dagster run and a shell's ``dbt build`` take turns, and say whom they wait for."""

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from support.tiny_project import Tiny, wait_until

from lakehouse.locks import FileLock
from lakehouse.publishing import list_versions
from orchestration.dagster_home import dbt_target
from orchestration.definitions import build_definitions


class ShellBuild:
    """A ``dbt build`` started as a user would, its output read while it runs."""

    def __init__(self, tiny: Tiny) -> None:
        self._process = tiny.start("build")
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(self._process.stdout)

    def wait(self) -> str:
        assert self._process.wait(300) == 0, "".join(self.lines)
        self._reader.join()
        return "".join(self.lines)


@pytest.fixture
def gate(tiny: Tiny) -> Iterator[FileLock]:
    """Holds the build file, so that both builds are surely there before one of them begins."""
    lock = FileLock(tiny.settings.build_lock, purpose="the test").acquire()
    yield lock
    lock.release()


@pytest.mark.slow
def test_both_succeed_and_the_one_that_waits_names_the_other(
    tiny: Tiny, gate: FileLock, instance: dg.DagsterInstance
) -> None:
    job = build_definitions(tiny.settings).resolve_job_def("transform_warehouse")
    shell = ShellBuild(tiny)

    def open_gate() -> None:
        wait_until(lambda: any("waiting for the test" in line for line in shell.lines))
        wait_until(lambda: "waiting for the test" in dagster_log(tiny))
        gate.release()

    opener = threading.Thread(target=open_gate, daemon=True)
    opener.start()
    run = job.execute_in_process(instance=instance, raise_on_error=False)
    opener.join()
    output = shell.wait()

    assert run.success
    assert "ERROR=0" in output
    short = run.run_id[:8]
    shell_waited = f"waiting for dbt build from Dagster run {short} (pid " in output
    dagster_waited = "waiting for dbt build from a shell (pid " in dagster_log(tiny)
    assert shell_waited or dagster_waited
    assert len(list_versions(tiny.settings)) == 1, "both built the same"
    events = instance.all_logs(run.run_id)
    assert any("waiting for the test" in entry.user_message for entry in events)


def dagster_log(tiny: Tiny) -> str:
    logs: list[Path] = sorted((dbt_target(tiny.settings) / "runs").glob("*/dbt.log"))
    return "".join(path.read_text() for path in logs)
