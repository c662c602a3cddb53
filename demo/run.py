"""The demo's order: the contributed steps around two builds, each timed and said in one line.

Here belongs running the steps and stopping at the first that fails. What the summary says is in
``summary``.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from demo.memory import PeakMemory
from demo.step import DemoContext, DemoStep
from lakehouse import layers
from lakehouse.dbt.build import BuildReport, build_everything
from lakehouse.dbt.results import RunResults
from lakehouse.doctor import quick_checks, run_checks
from lakehouse.errors import LakeError
from lakehouse.publishing import current_id
from lakehouse.publishing.held_back import name_nodes, read_held_back
from lakehouse.settings import Settings

_SHOWN_ERRORS = 5


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
    steps: list[StepDone] = field(default_factory=list)
    builds: list[RunResults] = field(default_factory=list)

    def do(self, name: str, work: Callable[[DemoContext], str]) -> None:
        started = time.monotonic()
        done = StepDone(name, work(self.context), time.monotonic() - started)
        self.steps.append(done)
        self.tell(done)

    def build(self, context: DemoContext) -> str:
        before = current_id(context.settings)
        report = build_everything(context.settings, invoked_by="lake demo", say=self.say)
        if report.exit_code or report.results is None:
            raise _build_error(report)
        self.builds.append(report.results)
        _refuse_held_back(context.settings)
        published = current_id(context.settings)
        verb = "still published" if published == before else "published"
        return f"{report.results.tests_passed} tests passed, {verb}"


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
    with PeakMemory(settings.postgres_dir) as memory, ExitStack() as resources:
        context = DemoContext(settings=settings, scale=scale, seed=seed, resources=resources)
        runner = _Runner(context, tell, say)
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


def _build_error(report: BuildReport) -> LakeError:
    red = report.results.red if report.results else ()
    causes = [f"{node.name}: {node.explanation}" for node in red if not node.is_skipped]
    named = "; ".join(causes[:_SHOWN_ERRORS]) or report.last_words
    return LakeError(
        f"the build failed ({named}); dbt's output is in {report.log}",
        "mend it and run `lake demo` again; what has landed stays",
    )


def _refuse_held_back(settings: Settings) -> None:
    held_back = read_held_back(settings)
    if held_back:
        raise LakeError(
            f"the build is green, but publishing is held back by {name_nodes(held_back.nodes)}",
            "mend it and run `lake build`",
        )
