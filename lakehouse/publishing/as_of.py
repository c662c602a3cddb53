"""Which published version was valid at a time.

Here belongs reading a time that a person typed and choosing among the kept versions. Here does not
belong what a version is (``lakehouse.publishing.versions``). A version's time is the one in its id.
"""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lakehouse.publishing.versions import NoVersionError, find_version, version_paths
from lakehouse.settings import Settings

_ID_TIME = "%Y%m%dT%H%M%S%f"
_UNITS = {2: timedelta(hours=1), 4: timedelta(minutes=1), 6: timedelta(seconds=1)}
"""Digits in a time of day to what the last two of them count."""
_INSTANT = timedelta(microseconds=1)


def find_version_as_of(settings: Settings, text: str) -> Path:
    """Find a version by its id, by a part of it that only one version has, or by a time.

    Args:
        settings: The project.
        text: An id, a part of one, or a time as ``end_of`` reads it, which means the newest version
            published at or before it.

    Raises:
        NoVersionError: Nothing fits, or more than one version.
    """
    fitting = [path for path in version_paths(settings) if text in path.stem]
    moment = end_of(text)
    if moment is None or len(fitting) == 1:
        return find_version(settings, text)
    versions = version_paths(settings)
    for path in versions:
        if _published_at(path) <= moment:
            return path
    if not versions:
        raise NoVersionError("nothing has been published yet", "run `make demo` or `lake build`")
    raise NoVersionError(
        f"nothing that is kept was published by {moment:%Y-%m-%d %H:%M:%S} UTC; the oldest version "
        f"is {versions[-1].stem}",
        "choose a later time, or a version from `lake versions`",
    )


def end_of(text: str) -> datetime | None:
    """The last instant of a day, hour, minute or second in ISO 8601.

    So ``2026-11-21`` includes all of that day, and ``2026-11-21 10:16`` what happened at 10:16:31.

    Args:
        text: A date, or date and time; UTC unless it has an offset.

    Returns:
        The instant in UTC; None when the text is not a time.
    """
    try:
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return day + timedelta(days=1) - _INSTANT
    except (ValueError, OverflowError):
        pass
    try:
        start = datetime.fromisoformat(text)
        start = start.replace(tzinfo=start.tzinfo or UTC).astimezone(UTC)
        return start + _unit(text) - _INSTANT
    except (ValueError, OverflowError):
        return None


def _unit(text: str) -> timedelta:
    """How long the smallest part of a date and time lasts."""
    time_of_day = re.split(r"[T ]", text, maxsplit=1)[-1]
    without_offset = re.split(r"[Z+-]", time_of_day, maxsplit=1)[0]
    return _UNITS.get(len(re.sub(r"\D", "", without_offset)), _INSTANT)


def _published_at(path: Path) -> datetime:
    return datetime.strptime(path.stem.split("Z-")[0], _ID_TIME).replace(tzinfo=UTC)
