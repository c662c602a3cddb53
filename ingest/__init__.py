"""Extractors that land operational data as raw commits, and the demo's source of such data."""
