"""The demo's order: the layers' steps around two builds, each timed and said in one line.

Here belongs running the steps and stopping at the first that fails. What the summary says is in
``summary``.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from demo.memory import PeakMemory
from demo.step import DemoContext, DemoStep
from lakehouse import layers
from lakehouse.dbt.results import RunResults, read_run_results
from lakehouse.dbt.run import progress_of, run_dbt
from lakehouse.doctor import quick_checks, run_checks
from lakehouse.errors import LakeError
from lakehouse.progress import Advance, progress
from lakehouse.publishing import current_id
from lakehouse.publishing.held_back import name_nodes, read_held_back
from lakehouse.settings import Settings

_SHOWN_ERRORS = 5
_WAITING = "waiting for "


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step that has ended: its name, what it said, and how many seconds it took."""

    name: str
    text: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """A demo that has ended.

    Attributes:
        steps: Its steps in order.
        builds: Results of its builds in order.
        seconds: Its length.
        peak_memory_bytes: Of all its processes together.
    """

    steps: tuple[StepDone, ...]
    builds: tuple[RunResults, ...]
    seconds: float
    peak_memory_bytes: int


@dataclass(slots=True)
class _Runner:
    context: DemoContext
    tell: Callable[[StepDone], None]
    say: Callable[[str], None]
    log: Path
    steps: list[StepDone] = field(default_factory=list)
    builds: list[RunResults] = field(default_factory=list)

    def do(self, name: str, work: Callable[[DemoContext], str]) -> None:
        started = time.monotonic()
        done = StepDone(name, work(self.context), time.monotonic() - started)
        self.steps.append(done)
        self.tell(done)

    def build(self, context: DemoContext) -> str:
        before, last = current_id(context.settings), read_run_results(context.settings)
        code = _logged_dbt(context.settings, self.log, self.say)
        results = read_run_results(context.settings)
        if results is not None and last is not None and results.invocation_id == last.invocation_id:
            results = None  # dbt failed before it ran anything; these are the last run's
        if code or results is None:
            raise _build_error(results, self.log)
        self.builds.append(results)
        _refuse_held_back(context.settings)
        published = current_id(context.settings)
        verb = "still published" if published == before else "published"
        return f"{results.tests_passed} tests passed, {verb}"


def log_path(settings: Settings) -> Path:
    """Where dbt's output of the demo goes."""
    return settings.state_dir / "demo-build.log"


def run_demo(
    settings: Settings,
    *,
    scale: float,
    seed: int,
    tell: Callable[[StepDone], None],
    say: Callable[[str], None],
) -> DemoRun:
    """Run the demo. What an earlier one left is taken as it is and gets another business day.

    Args:
        settings: The project.
        scale: Size of the data made when there is none; 1.0 is 40,000 transactions.
        seed: Seed of everything random.
        tell: Gets each step when it has ended.
        say: Gets what a person should read meanwhile, such as whom a build waits for.

    Raises:
        LakeError: The machine is not fit, a layer is missing, or a step failed.
    """
    started = time.monotonic()
    _refuse_unfit(settings)
    steps = _contributed_steps()
    log = log_path(settings)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with PeakMemory(settings.postgres_dir) as memory, ExitStack() as resources:
        context = DemoContext(settings=settings, scale=scale, seed=seed, resources=resources)
        runner = _Runner(context, tell, say, log)
        for step in steps:
            if step.before == "first build":
                runner.do(step.name, step.run)
        # With a version to compare with, the build below shows the same and saves one.
        if current_id(settings) is None:
            runner.do("Build, test and publish", runner.build)
        for step in steps:
            if step.before == "second build":
                runner.do(step.name, step.run)
        runner.do("Build, test and publish", runner.build)
    return DemoRun(
        steps=tuple(runner.steps),
        builds=tuple(runner.builds),
        seconds=time.monotonic() - started,
        peak_memory_bytes=memory.peak_bytes,
    )


def _refuse_unfit(settings: Settings) -> None:
    for check, found in run_checks(settings, quick_checks()):
        if found.outcome == "problem":
            raise LakeError(f"{check.name}: {found.text}", found.next_step or "run `lake doctor`")


def _contributed_steps() -> Sequence[DemoStep]:
    contributed, broken = layers.call_all(layers.DEMO)
    if broken:
        raise LakeError(str(broken[0]), "run `make env`")
    return [step for steps in contributed for step in steps]


def _logged_dbt(settings: Settings, log: Path, say: Callable[[str], None]) -> int:
    with log.open("a", encoding="utf-8") as file, ExitStack() as bars:
        bar: Advance | None = None

        def take(line: str) -> None:
            nonlocal bar
            file.write(line + "\n")
            if _WAITING in line:
                say(line)
            if at := progress_of(line):
                bar = bar or bars.enter_context(progress("dbt build", at[1], unit="nodes"))
                bar.advance(1)

        return run_dbt(settings, ["build"], invoked_by="lake demo", on_line=take)


def _build_error(results: RunResults | None, log: Path) -> LakeError:
    causes = [
        f"{node.unique_id.split('.')[2]}: {' '.join((node.message or node.status).split())}"
        for node in (results.red if results else ())
        if node.status != "skipped"
    ]
    named = "; ".join(causes[:_SHOWN_ERRORS]) or _said_last(log)
    return LakeError(
        f"the build failed ({named}); dbt's output is in {log}",
        "mend it and run `lake demo` again; what has landed stays",
    )


def _said_last(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    return " ".join(text.rpartition("Encountered an error:")[2].split()[-60:])


def _refuse_held_back(settings: Settings) -> None:
    held_back = read_held_back(settings)
    if held_back:
        raise LakeError(
            f"the build is green, but publishing is held back by {name_nodes(held_back.nodes)}",
            "mend it and run `lake build`",
        )
