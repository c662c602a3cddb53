"""The kernel: what every layer shares, and nothing that only one of them needs.

Here belong the settings, the raw commits, publishing and the skeleton of the ``lake`` command.
Here do not belong extractors, streams, Dagster or business rules; the kernel imports none of the
layers above it. They add their commands through the entry point group ``lakehouse.commands``.
"""

__version__ = "0.1.0"
