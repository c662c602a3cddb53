"""Dagster: thin assets over ``ingest`` and dbt, checks, jobs, and the command that opens the UI.

The only package that imports Dagster. Here belongs when and in which order things run. Here does
not belong how rows are extracted, transformed or published.
"""
