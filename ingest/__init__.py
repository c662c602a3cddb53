"""Extractors that land operational data as raw commits, and the list of what they land."""
