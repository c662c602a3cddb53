"""Everything that touches dbt: running it, what it calls back, what it leaves behind.

Here does not belong publishing (``lakehouse.publishing``) nor a business rule (``dbt_project/``).
"""
