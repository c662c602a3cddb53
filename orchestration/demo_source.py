"""The demo shop in the embedded PostgreSQL, made when a first run finds none.

So that "Materialize all" works on a fresh clone. Here belongs the decision to seed, which is never
made about a database of the user's own. Here does not belong how the shop is made. Must not import
Dagster.
"""

from collections.abc import Callable

import psycopg

from demo.postgres.embedded import SUPERUSER, EmbeddedPostgres
from demo.shop import seed
from lakehouse.locks import file_lock
from lakehouse.settings import Settings


def seed_if_missing(
    settings: Settings, *, on_line: Callable[[str], None], scale: float = 1.0
) -> str | None:
    """Make and fill the demo shop if the embedded database has no schema ``shop``.

    Args:
        settings: The project; with a ``source_dsn`` of its own nothing is ever seeded.
        on_line: Gets sentences for the log.
        scale: As for ``lake seed``.

    Returns:
        A sentence for the metadata if the shop was made now, else None.
    """
    if settings.source_dsn is not None:
        return None
    lock = settings.state_dir / "seed.lock"
    with EmbeddedPostgres(settings) as server, file_lock(lock, purpose="seeding", on_wait=on_line):
        dsn = server.dsn(SUPERUSER)
        if _has_shop(dsn):
            return None
        on_line("the embedded database has no shop yet: seeding the demo shop, as `lake seed` does")
        report = seed(dsn, scale=scale)
    sentence = f"demo shop seeded by this run: {sum(report.rows.values()):,} rows"
    on_line(sentence)
    return sentence


def _has_shop(dsn: str) -> bool:
    # The schema comes with its rows in one transaction, so where it is, it is complete.
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select to_regnamespace('shop') is not null").fetchone()
    return bool(row and row[0])
