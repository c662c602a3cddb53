"""Synthetic sensors: seeded readings for the streams, with dirt and the truth about it.

Here belongs what only a demonstration or a test needs. Producing, pacing and replaying are the
product's (``streaming``).
"""
