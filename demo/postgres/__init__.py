"""The PostgreSQL from a Python wheel that stands in for a source database of one's own.

Here belongs starting, sharing and stopping that server. Here does not belong anything about the
tables in it (``demo.shop``).
"""
