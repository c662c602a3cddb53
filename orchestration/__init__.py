"""Dagster definitions: thin assets over ``ingest`` and dbt, and the only place that knows Dagster."""
