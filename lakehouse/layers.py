"""Finding what the layers above the kernel contribute, without importing them by name.

Entry points in ``pyproject.toml`` name the contributions. Here belongs loading a group of them so
that one broken layer does not take the others down. Here does not belong what they contribute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

COMMANDS = "lakehouse.commands"
"""``register(app)``: adds commands to ``lake``."""

CHECKS = "lakehouse.checks"
"""``checks()``: what ``lake doctor`` looks at beside the kernel's own."""

DEFAULT_SOURCE = "lakehouse.default_source"
"""``default_source()``: the database that is read where the user names none."""

DEMO = "lakehouse.demo"
"""``steps()``: what ``lake demo`` does around its builds."""


@dataclass(frozen=True, slots=True)
class BrokenLayer:
    """A contribution that cannot be used.

    Attributes:
        name: The entry point's name.
        value: Where it should be: ``module:function``.
        cause: Why it cannot be used, one line.
    """

    name: str
    value: str
    cause: str

    def __str__(self) -> str:
        return f"the layer {self.name!r} ({self.value}) cannot be used: {self.cause}"


@dataclass(frozen=True, slots=True)
class Contributions:
    """A group of entry points: the functions that load, and the layers that do not."""

    functions: tuple[Any, ...]
    broken: tuple[BrokenLayer, ...]


def load(group: str) -> Contributions:
    """Load every entry point of a group; a layer that fails to import is reported, not raised.

    Args:
        group: ``COMMANDS``, ``CHECKS``, ``DEFAULT_SOURCE`` or ``DEMO``.
    """
    functions: list[Any] = []
    broken: list[BrokenLayer] = []
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            functions.append(point.load())
        except Exception as error:
            # A layer's import can fail in any way; the kernel's own commands must still work.
            broken.append(BrokenLayer(point.name, point.value, first_line(error)))
    return Contributions(tuple(functions), tuple(broken))


def call_all(group: str, *arguments: Any) -> tuple[list[Any], Sequence[BrokenLayer]]:
    """Load a group and call each function.

    Returns:
        What the functions returned, and the layers that cannot be used.
    """
    loaded = load(group)
    return [function(*arguments) for function in loaded.functions], loaded.broken


def first_line(error: BaseException) -> str:
    """An exception in one line: its type and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
