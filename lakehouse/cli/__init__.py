"""The ``lake`` command line: reads arguments, calls the kernel, prints.

Here belongs what a user types and sees. Here does not belong any decision: each command's body is
a call and its rendering. Heavy imports (duckdb, pyarrow, rich) stand inside the bodies, so that
``lake --help`` answers at once.
"""
