"""Which database is read: the one that is configured, or else the one that a layer contributes.

Here belongs choosing between the two. Here does not belong starting a server or reading tables.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from lakehouse import layers
from lakehouse.errors import LakeError
from lakehouse.settings import Settings

_NEXT = "set LAKE_SOURCE_DSN in .env, like postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultSource:
    """A database to read where the user names none.

    Attributes:
        name: What it is, a few words.
        open: Gives its address while the block runs, starting a server if need be.
        absence: Says why there is nothing to read yet and what makes it, or None; makes nothing.
        fill: Fills it if it is empty, telling the function what a log should hold; says what it
            did, or None if nothing.
    """

    name: str
    open: Callable[[Settings], AbstractContextManager[str]]
    absence: Callable[[Settings], str | None]
    fill: Callable[[Settings, Callable[[str], None]], str | None]


@contextmanager
def source_dsn(settings: Settings) -> Iterator[str]:
    """The address of the database to extract from, up for as long as the block runs.

    Raises:
        LakeError: None is configured and none is contributed, or that one cannot be started.
    """
    if settings.source_dsn is not None:
        yield settings.source_dsn
        return
    with _contributed().open(settings) as dsn:
        yield dsn


def source_name(settings: Settings) -> str:
    """What the database to extract from is, a few words without its address."""
    return "at LAKE_SOURCE_DSN" if settings.source_dsn is not None else _contributed().name


def source_absence(settings: Settings) -> str | None:
    """Why there is no database to look at yet and what makes it; None if there is one.

    Looking makes none.
    """
    return None if settings.source_dsn is not None else _contributed().absence(settings)


def fill_source(settings: Settings, on_line: Callable[[str], None]) -> str | None:
    """Fill the database to extract from if it is the contributed one and empty.

    Args:
        settings: The project; a configured database is never written.
        on_line: Gets sentences for the log.

    Returns:
        What was done, one sentence; None if nothing.
    """
    return None if settings.source_dsn is not None else _contributed().fill(settings, on_line)


def _contributed() -> DefaultSource:
    found = layers.load(layers.DEFAULT_SOURCE)
    if found.functions:
        source: DefaultSource = found.functions[0]()
        return source
    if found.broken:
        raise LakeError(str(found.broken[0]), f"run `make env`, or {_NEXT}")
    raise LakeError("no database to extract from is named", _NEXT)
