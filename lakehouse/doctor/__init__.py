"""``lake doctor``: one line for each thing that must be right, and the command that mends it.

Here belong the kernel's own checks and the type by which layers add theirs (entry point group
``lakehouse.checks``, ``checks() -> Sequence[Check]``). A check looks; it never changes anything.
"""

from lakehouse.doctor.check import Check, Finding, Outcome, ok, problem, skipped, warning
from lakehouse.doctor.run import kernel_checks, quick_checks, run_checks

__all__ = [
    "Check",
    "Finding",
    "Outcome",
    "kernel_checks",
    "ok",
    "problem",
    "quick_checks",
    "run_checks",
    "skipped",
    "warning",
]
