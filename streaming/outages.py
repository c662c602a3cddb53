"""Going on after the broker was away or the disk full: started again from the last checkpoint.

Here belongs the decision which failures pass by themselves, and how long to try. What is lost by a
failure is nothing: see ``processor``.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaException

from streaming.brokers import BrokerError
from streaming.quix.runtime import QuixException, release_state

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 3.0
_HEALTHY_SECONDS = 60.0

Result = TypeVar("Result")


def through_outages(attempt: Callable[[], Result], *, patience: float = 900.0) -> Result:
    """Run something that needs the broker, again and again while the broker is away.

    A full disk is waited for without end: only a person can make room, and nothing is lost.

    Args:
        attempt: Builds and runs it; called anew after each failure.
        patience: Seconds of failures in a row after which to give up.

    Raises:
        BrokerError: The broker has been away for longer than ``patience``.
    """
    since: float | None = None
    while True:
        began = time.monotonic()
        try:
            return attempt()
        except (BrokerError, KafkaException, QuixException) as error:
            failed = time.monotonic()
            if since is None or failed - began > _HEALTHY_SECONDS:
                since = failed
            if failed - since > patience:
                raise BrokerError(
                    f"the broker has failed for {patience:.0f} s: {error}",
                    "look at the broker, then start this again: it goes on from its last commit",
                ) from error
            _log.warning("the broker is away (%s); starting again from the last commit", error)
        except Exception as error:
            if not _is_disk_full(error):
                raise
            since = None
            _log.error("waiting, nothing is lost: %s", error)
        release_state()
        time.sleep(_PAUSE_SECONDS)


def _is_disk_full(error: Exception) -> bool:
    """Whether the state store or Python found no room; the store's errors have no type."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return (isinstance(error, OSError) and error.errno in full) or any(
        os.strerror(number) in str(error) for number in full
    )
