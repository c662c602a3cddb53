"""Running dbt for Dagster: its arguments, its log lines, its results.

Here belongs what Dagster needs of a dbt process beyond ``lakehouse.dbt.run``. Here does not
belong what becomes of the results. Must not import Dagster.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psutil

from lakehouse.dbt.build import without_proven_unit_tests
from lakehouse.dbt.nodes import GREEN, SKIPPED, short_name
from lakehouse.dbt.run import run_dbt
from lakehouse.settings import Settings
from orchestration.dagster_home import dbt_target
from orchestration.dbt_manifest import project_target

_KEPT_TARGETS = 20
_FROM_MACROS_AND_PLUGINS = frozenset({"JinjaLogInfo", "AdapterEventInfo", "AdapterEventWarning"})
_DBT_COULD_NOT_RUN = 2
_STOP_SECONDS = 5.0


class DbtCrashedError(Exception):
    """dbt ended without results, so it was killed or ran out of memory: worth another try."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of dbt's log; ``is_notable`` if it belongs beside Dagster's own events."""

    text: str
    level: str
    is_notable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome:
    """How one node of a build ended.

    Attributes:
        unique_id: dbt's name of it.
        status: dbt's word for it.
        message: dbt's explanation, if any.
        failures: Rows that a data test found; None for other nodes.
        seconds: How long it took.
        sql: The statement as it was run, if dbt compiled one.
    """

    unique_id: str
    status: str
    message: str | None
    failures: int | None
    seconds: float
    sql: str | None

    @property
    def name(self) -> str:
        """The node's short name."""
        return short_name(self.unique_id)

    @property
    def is_green(self) -> bool:
        """Whether it ended well."""
        return self.status in GREEN


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """What a dbt build did: its invocation, its nodes, and what it logged as an error."""

    invocation_id: str
    nodes: tuple[NodeOutcome, ...]
    errors: tuple[str, ...]
    exit_code: int

    @property
    def red(self) -> tuple[NodeOutcome, ...]:
        """Nodes that failed themselves; those skipped because of them are not named."""
        return tuple(n for n in self.nodes if not n.is_green and n.status != SKIPPED)


def select_arguments(selectors: Iterable[str] | None, *, full_refresh: bool = False) -> list[str]:
    """The arguments of a ``dbt build``.

    Args:
        selectors: Fully qualified names of exactly the nodes to build and test; None means all.
        full_refresh: Rebuild incremental models from raw.
    """
    arguments = ["build"]
    if full_refresh:
        arguments.append("--full-refresh")
    if selectors is not None:
        # Without indirect selection: a test runs if Dagster selected its check, and only then.
        arguments += ["--indirect-selection", "empty", "--select"]
        arguments += [f"fqn:{name}" for name in sorted(set(selectors))]
    return arguments


def run_build(
    settings: Settings,
    arguments: list[str],
    *,
    run_id: str,
    on_line: Callable[[LogLine], None],
) -> BuildOutcome:
    """Run dbt to its end in a target folder of its own.

    A build of everything leaves out unit tests that were green with this code, as ``lake build``.

    Args:
        settings: The project.
        arguments: From ``select_arguments``.
        run_id: The Dagster run; its first eight characters name it to those who wait.
        on_line: Gets dbt's log.

    Raises:
        DbtCrashedError: dbt left no results.
        LakeError: There is no dbt.
    """
    target = dbt_target(settings) / "runs" / run_id[:8]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    _forget_old_targets(target.parent)
    errors: list[str] = []

    def read(line: str) -> None:
        parsed = parse_line(line)
        if parsed.level == "error":
            errors.append(parsed.text)
        on_line(parsed)

    def run(more: Sequence[str]) -> BuildOutcome:
        errors.clear()
        code = _run(settings, [*arguments, *more], target, f"Dagster run {run_id[:8]}", read)
        return _read_outcome(target, tuple(errors), code)

    if arguments == select_arguments(None):
        return without_proven_unit_tests(settings, run)
    return run(())


def parse_line(line: str) -> LogLine:
    """Read a line of dbt's JSON log; anything else is passed on as it is."""
    try:
        info: dict[str, Any] = json.loads(line)["info"]
    except (ValueError, KeyError, TypeError):
        return LogLine(line, "info", False)
    level, text = str(info["level"]), str(info["msg"])
    notable = level in ("warn", "error") or info["name"] in _FROM_MACROS_AND_PLUGINS
    return LogLine(text, level, notable and bool(text.strip()))


def _run(
    settings: Settings,
    arguments: list[str],
    target: Path,
    invoked_by: str,
    on_line: Callable[[str], None],
) -> int:
    """Run dbt in a thread, so that Dagster can interrupt this one while dbt is silent.

    Left to itself dbt would go on: in the middle of a long statement it does not heed SIGINT.
    """
    located = [
        *arguments,
        *("--log-format", "json", "--log-level", "info"),
        *("--target-path", str(target), "--log-path", str(target)),
        *("--partial-parse-file-path", str(project_target(settings) / "partial_parse.msgpack")),
    ]
    lines: SimpleQueue[str | None] = SimpleQueue()

    def run() -> int:
        try:
            return run_dbt(settings, located, invoked_by=invoked_by, on_line=lines.put)
        finally:
            lines.put(None)

    with ThreadPoolExecutor(1, "dbt") as pool:
        future = pool.submit(run)
        try:
            for line in iter(lines.get, None):
                on_line(line)
        finally:
            if not future.done():
                _stop_dbt(target)
        return future.result()


def _stop_dbt(target: Path) -> None:
    """Ask the dbt of this target to stop, then insist; harmless when it has ended."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if str(target) in child.cmdline():
                child.terminate()
                with suppress(psutil.TimeoutExpired):
                    child.wait(_STOP_SECONDS)
                child.kill()


def _read_outcome(target: Path, errors: tuple[str, ...], code: int) -> BuildOutcome:
    try:
        document = json.loads((target / "run_results.json").read_bytes())
    except (OSError, ValueError) as error:
        if code == _DBT_COULD_NOT_RUN and errors:
            return BuildOutcome("", (), errors, code)
        raise DbtCrashedError(f"dbt ended with exit code {code} and left no results") from error
    nodes = tuple(
        NodeOutcome(
            unique_id=result["unique_id"],
            status=str(result["status"]),
            message=result.get("message"),
            failures=result.get("failures"),
            seconds=float(result.get("execution_time") or 0),
            sql=result.get("compiled_code"),
        )
        for result in document["results"]
    )
    return BuildOutcome(document["metadata"]["invocation_id"], nodes, errors, code)


def _forget_old_targets(folder: Path) -> None:
    newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest[_KEPT_TARGETS:]:
        shutil.rmtree(path, ignore_errors=True)
