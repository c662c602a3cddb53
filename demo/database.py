"""The demo's database: its own embedded server, or the PostgreSQL that ``LAKE_DEMO_DSN`` names.

The demo fills and changes this database, so it is never the one that ``LAKE_SOURCE_DSN`` names.
Where no source is named, it is also what is extracted.

Here belongs which database it is. Here does not belong how the server runs (``demo.postgres``) or
what is in it (``demo.shop``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from demo.postgres.embedded import EXTRACTOR_ROLE, SUPERUSER, EmbeddedPostgres
from lakehouse.locks import file_lock
from lakehouse.settings import Settings, read_variable
from lakehouse.source import DefaultSource

VARIABLE = "LAKE_DEMO_DSN"


def named_dsn(settings: Settings) -> str | None:
    """What ``LAKE_DEMO_DSN`` says, in the environment or else in ``.env``."""
    return read_variable(settings, VARIABLE)


@contextmanager
def open_database(settings: Settings, role: str = EXTRACTOR_ROLE) -> Iterator[str]:
    """The address of the demo's database, up for as long as the block runs.

    Args:
        settings: The project.
        role: Who connects to the embedded server; ``LAKE_DEMO_DSN`` names a role itself.

    Raises:
        EmbeddedPostgresError: The embedded server cannot be started.
    """
    if (named := named_dsn(settings)) is not None:
        yield named
        return
    with EmbeddedPostgres(settings) as server:
        yield server.dsn(role)


def fill_if_empty(
    settings: Settings, on_line: Callable[[str], None], scale: float = 1.0
) -> str | None:
    """Make and fill the shop if the demo's database has no schema ``shop``.

    So that "Materialize all" works on a fresh clone.

    Args:
        settings: The project.
        on_line: Gets sentences for the log.
        scale: As for ``lake seed``.

    Returns:
        A sentence if the shop was made now, else None.
    """
    from demo.shop import has_shop, seed

    lock = settings.state_dir / "seed.lock"
    with (
        open_database(settings, SUPERUSER) as dsn,
        file_lock(lock, purpose="seeding", on_wait=on_line),
    ):
        if has_shop(dsn):
            return None
        on_line("the demo's database has no shop yet: seeding it, as `lake seed` does")
        report = seed(dsn, scale=scale)
    sentence = f"demo shop seeded by this run: {sum(report.rows.values()):,} rows"
    on_line(sentence)
    return sentence


def default_source() -> DefaultSource:
    """The demo's database as what is read where no source is named."""
    return DefaultSource(
        name="the demo's database", open=open_database, absence=_absence, fill=fill_if_empty
    )


def _absence(settings: Settings) -> str | None:
    if named_dsn(settings) is not None or (settings.postgres_dir / "cluster").is_dir():
        return None
    return "no embedded PostgreSQL yet; `lake demo` or `lake seed` makes it"
