"""What a check is and what it can find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lakehouse.settings import Settings

Outcome = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        outcome: Only ``problem`` makes the doctor exit non-zero.
        text: What is so, in one line.
        next_step: The command that mends it; None when nothing is to be done.
    """

    outcome: Outcome
    text: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A thing to look at: its name in a few words, and the function that looks.

    The function may raise ``LakeError``, which counts as a problem.
    """

    name: str
    run: Callable[[Settings], Finding]


def ok(text: str) -> Finding:
    """As it should be."""
    return Finding("ok", text)


def warning(text: str, next_step: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding("warning", text, next_step)


def problem(text: str, next_step: str) -> Finding:
    """Something will not work."""
    return Finding("problem", text, next_step)


def skipped(text: str) -> Finding:
    """There is nothing to look at yet."""
    return Finding("skipped", text)
