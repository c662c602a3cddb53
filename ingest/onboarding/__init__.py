"""Taking a database in: from its catalogue to the list of tables and to dbt models.

Here belongs what `lake source` does: looking at a catalogue, proposing how each table is extracted,
and writing what a person would otherwise write by hand. Here does not belong extracting
(``ingest.postgres``), or a rule about the data: what is written says only what the catalogue says.

One table's way: ``inspect`` reads the catalogue, ``cursor`` and ``propose`` decide, ``listing``
writes to ``ingest/sources.yml``; later ``scaffold`` reads the columns of the listed tables,
``names`` makes them plain, ``dbt_text`` says what the models' files hold.
"""
