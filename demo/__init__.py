"""``lake demo``: the whole way once, from an empty folder to a published warehouse.

Here belong the order of the demo, its measurements and its summary. Here does not belong any step
that needs a source or a stream: layers contribute those by the entry point group
``lakehouse.demo`` (``steps() -> Sequence[DemoStep]``).
"""

from demo.step import DemoContext, DemoStep

__all__ = ["DemoContext", "DemoStep"]
