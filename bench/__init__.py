"""Benchmarks: speed and memory as ratios and bounds, measured side by side in one run.

Nothing here is a test. ``make bench`` prints what it measured, on which machine, beside the bound
that the project promises.
"""
