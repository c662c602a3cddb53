"""``dbt build`` for a person: a bar while it runs, its whole output in a file, a short account.

Here belongs following a build and what is said about it. Here does not belong the process
(``lakehouse.dbt.run``), nor how the account looks (``lakehouse.cli.build``).
"""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from lakehouse.dbt.green import changed_sources, proven_fingerprint, unit_tests_are_proven
from lakehouse.dbt.results import RunResults, read_run_results
from lakehouse.dbt.run import progress_of, refuse_unwritable, run_dbt
from lakehouse.progress import Advance, progress
from lakehouse.settings import Settings

WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")

_KEPT_LOGS = 10
_PREFIX = re.compile(r"^\d\d:\d\d:\d\d\s+(?:lakehouse adapter: )?")
_WAITING = "waiting for "
_KERNEL = "lakehouse: "
_CRASH = "Encountered an error:"
_SHOWN_LINES, _SHOWN_WORDS = 2, 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """A build that has ended.

    Attributes:
        exit_code: dbt's: 0 all green, 1 something failed, 2 dbt itself could not run.
        results: What became of each node; None when dbt failed before it ran one.
        said: What the kernel said in dbt's output, in order: the new commits, then what was
            published or what holds publishing back.
        last_words: How dbt ended without running a node, in its own words; else empty.
        log: All of dbt's output.
        left_out_unit_tests: Whether they were left out, green with this very code before.
    """

    exit_code: int
    results: RunResults | None
    said: tuple[str, ...]
    last_words: str
    log: Path
    left_out_unit_tests: bool


def build(
    settings: Settings,
    arguments: Sequence[str] = (),
    *,
    invoked_by: str,
    say: Callable[[str], None],
) -> BuildReport:
    """Run ``dbt build`` and show how far it is on standard error.

    Args:
        settings: The project.
        arguments: What follows ``build``.
        invoked_by: Shown to those who wait for this build.
        say: Gets at once what a person should read meanwhile: whom the build waits for.

    Raises:
        KeyboardInterrupt, SystemExit, LakeError: As ``lakehouse.dbt.run.run_dbt`` does.
    """
    refuse_unwritable(settings, ["build", *arguments])
    before = read_run_results(settings)
    log = _new_log(settings)
    said: list[str] = []
    # Unbuffered: on a full disk only the line is lost, and nothing fails again on closing.
    with log.open("wb", buffering=0) as file, ExitStack() as bars:
        bar: Advance | None = None

        def take(line: str) -> None:
            nonlocal bar
            with suppress(OSError):
                file.write(f"{line}\n".encode())
            text = _PREFIX.sub("", line)
            if text.startswith(_WAITING):
                say(text)
            elif text.startswith(_KERNEL):
                said.append(text.removeprefix(_KERNEL))
            elif at := progress_of(line):
                bar = bar or bars.enter_context(progress("dbt build", at[1], unit="nodes"))
                bar.advance(1)

        code = run_dbt(settings, ["build", *arguments], invoked_by=invoked_by, on_line=take)
    results = read_run_results(settings)
    if results and before and results.invocation_id == before.invocation_id:
        results = None  # dbt failed before it ran anything; these are the last run's
    return BuildReport(
        exit_code=code,
        results=results,
        said=tuple(said),
        last_words="" if results and results.nodes else _last_words(log),
        log=log,
        left_out_unit_tests=tuple(arguments[-2:]) == WITHOUT_UNIT_TESTS,
    )


def build_everything(
    settings: Settings, *, invoked_by: str, say: Callable[[str], None]
) -> BuildReport:
    """Build and test the project, but nothing again that a green build has already shown.

    Args:
        settings: The project.
        invoked_by: Shown to those who wait for this build.
        say: Gets at once what a person should read meanwhile.

    Raises:
        KeyboardInterrupt, SystemExit, LakeError: As ``lakehouse.dbt.run.run_dbt`` does.
    """
    return only_what_changed(
        settings, lambda arguments: build(settings, arguments, invoked_by=invoked_by, say=say)
    )


def only_what_changed(settings: Settings, run: Callable[[Sequence[str]], T]) -> T:
    """Run a build with the arguments that leave out what a green build has already shown.

    With the same code and new commits of some sources only, that is all that is not made from
    these; else the unit tests, if they are proven.

    Args:
        settings: The project.
        run: As for ``without_proven_unit_tests``.
    """
    changed = changed_sources(settings)
    if not changed:
        return without_proven_unit_tests(settings, run)
    selection = ("--select", *(f"source:{source}+" for source in changed))
    outcome = run((*selection, *WITHOUT_UNIT_TESTS))
    return outcome if proven_fingerprint(settings) else run(())


def without_proven_unit_tests(settings: Settings, run: Callable[[Sequence[str]], T]) -> T:
    """Run a build of everything with the arguments that leave out what is proven.

    Args:
        settings: The project.
        run: Runs ``dbt build`` with these arguments. It is called again, without any, when the
            build found that the proof had gone together with the build file.
    """
    if not unit_tests_are_proven(settings):
        return run(())
    outcome = run(WITHOUT_UNIT_TESTS)
    return outcome if proven_fingerprint(settings) else run(())


def logs_dir(settings: Settings) -> Path:
    """Where the output of the last builds is kept."""
    return settings.build_dir / "logs"


def _new_log(settings: Settings) -> Path:
    folder = logs_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("build-*.log"), reverse=True)[_KEPT_LOGS - 1 :]:
        old.unlink(missing_ok=True)
    return folder / f"build-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z.log"


def _last_words(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    before, _, error = text.rpartition(_CRASH)
    lines = [told for line in error.splitlines() if (told := _PREFIX.sub("", line).strip())]
    words = " ".join(lines if before else lines[-_SHOWN_LINES:]).split()
    return " ".join(words[-_SHOWN_WORDS:])
