"""Which database is read: the one that is configured, or else the one that a layer contributes.

Each source names the environment variable that holds its address; only where that is the default
one, ``LAKE_SOURCE_DSN``, and it is not set, the contributed database is taken.

Here belongs choosing between the two. Here does not belong starting a server or reading tables.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from lakehouse import layers
from lakehouse.errors import LakeError
from lakehouse.settings import Settings, read_variable

DEFAULT_VARIABLE = "LAKE_SOURCE_DSN"
"""Holds the address of the sources that name no variable."""

_LIKE = "like postgresql://user:password@host:5432/database"


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
def source_dsn(settings: Settings, variable: str = DEFAULT_VARIABLE) -> Iterator[str]:
    """The address of a database to extract from, up for as long as the block runs.

    Args:
        settings: The project.
        variable: The environment variable that holds it.

    Raises:
        LakeError: None is configured and none is contributed, or that one cannot be started.
    """
    if (named := configured_dsn(settings, variable)) is not None:
        yield named
        return
    if variable != DEFAULT_VARIABLE:
        raise LakeError(f"{variable} is not set", f"set {variable} in .env, {_LIKE}")
    with _contributed().open(settings) as dsn:
        yield dsn


def configured_dsn(settings: Settings, variable: str = DEFAULT_VARIABLE) -> str | None:
    """What the environment or ``.env`` says; None if nothing."""
    if variable == DEFAULT_VARIABLE:
        return settings.source_dsn
    return read_variable(settings, variable)


def source_name(settings: Settings, variable: str = DEFAULT_VARIABLE) -> str:
    """What the database to extract from is, a few words without its address."""
    if variable != DEFAULT_VARIABLE or settings.source_dsn is not None:
        return f"at {variable}"
    return _contributed().name


def source_absence(settings: Settings, variable: str = DEFAULT_VARIABLE) -> str | None:
    """Why there is no database to look at yet and what makes it; None if there should be one.

    Looking makes none.
    """
    if variable != DEFAULT_VARIABLE or settings.source_dsn is not None:
        return None
    return _contributed().absence(settings)


def fill_source(
    settings: Settings, on_line: Callable[[str], None], variable: str = DEFAULT_VARIABLE
) -> str | None:
    """Fill the database to extract from if it is the contributed one and empty.

    Args:
        settings: The project; a configured database is never written.
        on_line: Gets sentences for the log.
        variable: The environment variable that would hold its address.

    Returns:
        What was done, one sentence; None if nothing.
    """
    if variable != DEFAULT_VARIABLE or settings.source_dsn is not None:
        return None
    return _contributed().fill(settings, on_line)


def _contributed() -> DefaultSource:
    found = layers.load(layers.DEFAULT_SOURCE)
    if found.functions:
        source: DefaultSource = found.functions[0]()
        return source
    fix = f"set {DEFAULT_VARIABLE} in .env, {_LIKE}"
    if found.broken:
        raise LakeError(str(found.broken[0]), f"run `make env`, or {fix}")
    raise LakeError("no database to extract from is named", fix)
