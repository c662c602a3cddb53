"""``lake ui`` as a user meets it: a browser, "Materialize all" on a fresh root, cancelling, Ctrl-C.

Set LAKE_SCREENSHOTS to a folder to keep pictures of the pages.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.checkout import make_checkout
from support.private_root import private_root
from support.tiny_project import wait_until

from lakehouse.locks import FileLock
from lakehouse.publishing import current_version
from lakehouse.settings import Settings
from orchestration.dagster_home import dbt_target

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 120_000
SHOTS = os.environ.get("LAKE_SCREENSHOTS")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@dataclass(frozen=True, slots=True)
class Ui:
    """A running ``lake ui``."""

    settings: Settings
    url: str
    process: "subprocess.Popen[str]"

    def query(self, text: str, **variables: Any) -> Any:
        body = json.dumps({"query": text, "variables": variables}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def launch(self, job: str) -> str:
        selector = {
            "repositoryLocationName": "orchestration.definitions",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        parameters = {"selector": selector, "runConfigData": {}, "mode": "default"}
        answer = self.query(
            "mutation($p: ExecutionParams!) {launchRun(executionParams: $p)"
            " {... on LaunchRunSuccess {run {runId}}}}",
            p=parameters,
        )
        return str(answer["launchRun"]["run"]["runId"])

    def status(self, run_id: str) -> str:
        answer = self.query(
            "query($r: ID!) {runOrError(runId: $r) {... on Run {status}}}", r=run_id
        )
        return str(answer["runOrError"]["status"])

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this project, dbt and PostgreSQL included."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("LAKE_ROOT") == str(self.settings.root)
            except psutil.Error:
                continue
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def dbts(self) -> list[psutil.Process]:
        return [p for p in self.processes() if "dbt" in [Path(a).name for a in p.cmdline()[:2]]]

    def dbt_is_waiting(self, run_id: str) -> bool:
        log = dbt_target(self.settings) / "runs" / run_id[:8] / "dbt.log"
        return log.exists() and "waiting for the test" in log.read_text()


@pytest.fixture(scope="module")
def ui() -> Iterator[Ui]:
    with private_root() as folder:
        settings = make_checkout(folder / "root").settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", "import typer; from orchestration.cli import ui; typer.run(ui)"],
            cwd=folder,
            env={**os.environ, "LAKE_ROOT": str(settings.root), "LAKE_UI_PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = Ui(settings, f"http://127.0.0.1:{port}", process)
        try:
            assert process.stdout is not None
            said = process.stdout.readline() + process.stdout.readline()
            assert f"Dagster UI: {running.url}" in said, said + (process.stdout.read() or "")
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)


@pytest.fixture
def page(ui: Ui, request: pytest.FixtureRequest) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE)
        outside: list[str] = []
        page.on("request", lambda r: None if is_local(r.url) else outside.append(r.url))
        yield page
        shoot(page, request.node.name)
        browser.close()
        assert not outside, "nothing is fetched from outside this machine"


def is_local(url: str) -> bool:
    return not url.startswith(("http", "ws")) or "//127.0.0.1:" in url


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def open_page(ui: Ui, page: Any, path: str) -> Any:
    page.goto(f"{ui.url}{path}", wait_until="domcontentloaded")
    return playwright.expect


def materialize_button(page: Any) -> Any:
    # Its accessible name holds an icon's and, if something is not materializable, a count.
    return page.get_by_role("button", name=re.compile(r"Materialize all( \(\d+\))?…?$"))


def test_materialize_all_on_a_fresh_root_succeeds(ui: Ui, page: Any) -> None:
    expect = open_page(ui, page, "/asset-groups")
    expect(materialize_button(page)).to_be_enabled(timeout=PATIENCE)
    for group in ("raw", "staging", "quarantine", "marts", "publish"):
        expect(page.get_by_text(group, exact=True).first).to_be_attached(timeout=PATIENCE)
    materialize_button(page).click()
    toast = page.get_by_text(re.compile(r"Launched run \w{8}"))
    expect(toast).to_be_visible(timeout=PATIENCE)
    short = toast.inner_text().split()[-1]
    runs = ui.query("{runsOrError {... on Runs {results {runId}}}}")["runsOrError"]["results"]
    (run_id,) = [run["runId"] for run in runs if run["runId"].startswith(short)]
    wait_until(lambda: ui.status(run_id) in ("SUCCESS", "FAILURE", "CANCELED"))
    assert ui.status(run_id) == "SUCCESS"
    expect = open_page(ui, page, f"/runs/{run_id}")
    expect(page.get_by_text("RUN_SUCCESS").first).to_be_visible(timeout=PATIENCE)
    assert current_version(ui.settings).rows["marts.fct_sales"] > 10_000


def test_the_expanded_graph_shows_every_layer(ui: Ui, page: Any) -> None:
    expect = open_page(ui, page, "/asset-groups")
    expect(materialize_button(page)).to_be_enabled(timeout=PATIENCE)
    page.mouse.move(1000, 800)
    page.keyboard.press("Alt+e")
    expect(page).to_have_url(re.compile("expanded="), timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"publish.*warehouse")).first).to_be_attached(
        timeout=PATIENCE
    )


def test_a_mart_shows_its_rows_and_its_passed_checks(ui: Ui, page: Any) -> None:
    rows = current_version(ui.settings).rows["marts.fct_sales"]
    expect = open_page(ui, page, "/assets/marts/fct_sales")
    expect(page.get_by_text(f"{rows:,}", exact=True).first).to_be_visible(timeout=PATIENCE)
    shoot(page, "mart")
    expect = open_page(ui, page, "/assets/marts/fct_sales?view=checks")
    expect(page.get_by_text(re.compile(r"Checks \(\d+\)")).first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Passed").first).to_be_visible(timeout=PATIENCE)


def test_a_raw_table_shows_its_watermark(ui: Ui, page: Any) -> None:
    expect = open_page(ui, page, "/assets/raw/shop/customers")
    expect(page.get_by_text("watermark_after").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("exact", exact=True).first).to_be_visible(timeout=PATIENCE)


def test_a_cancelled_run_leaves_no_dbt_alive(ui: Ui) -> None:
    gate = FileLock(ui.settings.build_lock, purpose="the test").acquire()
    try:
        run_id = ui.launch("transform_warehouse")
        wait_until(lambda: ui.dbt_is_waiting(run_id))
        assert ui.dbts()
        ui.query(
            "mutation($r: String!) {terminateRun(runId: $r) {__typename}}",
            r=run_id,
        )
        wait_until(lambda: ui.status(run_id) == "CANCELED")
        wait_until(lambda: not ui.dbts())
    finally:
        gate.release()


def test_a_killed_run_takes_its_dbt_along_and_is_noticed(ui: Ui) -> None:
    gate = FileLock(ui.settings.build_lock, purpose="the test").acquire()
    try:
        run_id = ui.launch("transform_warehouse")
        wait_until(lambda: ui.dbt_is_waiting(run_id))
        (dbt,) = ui.dbts()
        dbt.parent().kill()
        wait_until(lambda: not ui.dbts())
        wait_until(lambda: ui.status(run_id) == "FAILURE")
    finally:
        gate.release()


def test_ctrl_c_in_the_middle_of_a_run_leaves_nothing_behind(ui: Ui) -> None:
    gate = FileLock(ui.settings.build_lock, purpose="the test").acquire()
    try:
        run_id = ui.launch("transform_warehouse")
        wait_until(lambda: ui.dbt_is_waiting(run_id))
        assert ui.dbts()
        ui.process.send_signal(signal.SIGINT)
        assert ui.process.wait(120) == 0
        assert ui.processes() == []
    finally:
        gate.release()
    root = {path.name for path in ui.settings.root.iterdir()}
    assert root == {"data", "dbt_project", "warehouse"}, "Dagster writes into its home only"
