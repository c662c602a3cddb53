"""A step of the demo, and what it gets.

The entry point group ``lakehouse.demo`` names functions ``steps() -> Sequence[DemoStep]``.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoContext:
    """What a step gets.

    Attributes:
        settings: The project.
        scale: Size of the demo's data; 1.0 is 40,000 transactions.
        seed: Seed of everything random.
        resources: Closed at the end of the demo, whatever happens: what a step enters here, such
            as a server, stays up for the steps after it.
    """

    settings: Settings
    scale: float
    seed: int
    resources: ExitStack


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One line of the demo.

    Attributes:
        name: What is done, a few words in the imperative.
        run: Does it and says in a few words what came of it; raises ``LakeError`` on failure.
        before: Whether it belongs before the first build or, being news, before the second.
    """

    name: str
    run: Callable[[DemoContext], str]
    before: Literal["first build", "second build"]
