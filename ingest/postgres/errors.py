"""What can go wrong between us and a PostgreSQL, as sentences without secrets.

Here belongs telling failures apart and hiding passwords. Here does not belong deciding what to do
about them: ``extraction`` retries, the command line shows.
"""

import re
from urllib.parse import unquote

from lakehouse.errors import LakeError


class SourceError(LakeError):
    """The source database, or a table in it, cannot be extracted as asked."""


class ConnectionLostError(SourceError):
    """The connection broke, so that everything after the last commit is to be read again."""


class DeletesRefusedError(SourceError):
    """More rows disappeared than one run may tombstone; nothing was tombstoned."""


_SECRETS = (
    re.compile(r"://[^:/@\s]*:([^@\s]*)@"),
    re.compile(r"(?:^|[\s?&])password\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)"),
)
_MASK = "***"


def masked(text: str, dsn: str) -> str:
    """Remove a connection string's password from a text.

    Args:
        text: What is about to be shown.
        dsn: The connection string whose secrets may be in it.
    """
    for pattern in _SECRETS:
        for secret in pattern.findall(dsn):
            bare = secret.strip("'")
            for form in sorted({secret, bare, unquote(bare)} - {""}, key=len, reverse=True):
                text = text.replace(form, _MASK)
    return text


def server_message(error: BaseException) -> str:
    """What the server or libpq said, without the driver's wrapping and the statement."""
    text = str(error).split("\n\nQuery was:")[0]
    text = re.split(r"(?:ERROR|FATAL|PANIC):\s+", text, maxsplit=1)[-1]
    text = re.sub(r"^.*?\[libpq\] (?:Failed to connect: )?", "", text)
    text = re.sub(r"\. SQLSTATE: \w+$", "", text)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
