"""Going on after something failed: started again from what has landed.

Here belongs the decision which failures pass by themselves, what they are called, and how long to
try. What is lost by a failure is nothing: see ``processor``.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from lakehouse.errors import LakeError
from streaming.brokers import BrokerError
from streaming.processor import TopicChangedError
from streaming.quix.runtime import PartitionAssignmentError, QuixException
from streaming.stopping import StopRequest

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 3.0
_HEALTHY_SECONDS = 60.0
_TRIES = 5
"""How often something is tried that is no outage before its cause is taken to be lasting."""
_AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
}
_REGROUPED = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError._STATE,
}

_PASSING = (BrokerError, TopicChangedError)

Result = TypeVar("Result")


def through_outages(
    attempt: Callable[[], Result], *, stop: StopRequest | None = None, patience: float = 900.0
) -> Result:
    """Run something that needs the broker, again and again while it fails for a passing reason.

    A full disk is waited for without end: only a person can make room, and nothing is lost.

    Args:
        attempt: Builds and runs it; called anew after each failure.
        stop: Ends the waiting as well.
        patience: Seconds of failures in a row after which to give up on a broker that is away.

    Raises:
        LakeError: The broker has been away for longer than ``patience``; something else has failed
            time and again; or a stop was asked for while nothing could be done.
    """
    stop = stop or StopRequest()
    since: float | None = None
    tries = 0
    while True:
        began = time.monotonic()
        try:
            return attempt()
        except (LakeError, KafkaException, QuixException) as error:
            cause = _innermost(error)
            if isinstance(cause, LakeError) and not isinstance(cause, _PASSING):
                raise cause from error
            failed = time.monotonic()
            if since is None or failed - began > _HEALTHY_SECONDS:
                since, tries = failed, 0
            tries += 1
            what, is_passing = _named(cause)
            if failed - since > patience or (tries > _TRIES and not is_passing):
                raise BrokerError(
                    f"{what}, for {failed - since:.0f} s",
                    "look at the broker, then start this again: it goes on from what has landed",
                ) from error
            _log.warning("%s; starting again from what has landed", what)
            is_quick = isinstance(cause, TopicChangedError)
        except Exception as error:
            if not _is_disk_full(error):
                raise
            since, is_quick, what = None, False, f"no room on the disk ({error})"
            _log.error("waiting, nothing is lost: %s", error)
        if stop.is_asked or (not is_quick and stop.wait(_PAUSE_SECONDS)):
            raise LakeError(
                f"stopped while it could not go on: {what}",
                "start it again when that is mended: it goes on from what has landed",
            )


def _innermost(error: Exception) -> Exception:
    """What went wrong, where Quix says only that it did."""
    while isinstance(error, PartitionAssignmentError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _named(error: Exception) -> tuple[str, bool]:
    """What to call a failure, and whether it passes by itself however long it lasts."""
    if isinstance(error, LakeError):
        return error.cause, True
    code = _code(error)
    if code in _REGROUPED:
        return f"the group went on without us ({_text(error)})", True
    if code in _AWAY or (code is None and isinstance(error, QuixException)):
        return f"the broker is away ({_text(error)})", True
    return f"the broker refuses: {_text(error)}", False


def _code(error: Exception) -> int | None:
    found = getattr(error, "error", error.args[0] if error.args else None)
    return found.code() if isinstance(found, KafkaError) else None


def _text(error: Exception) -> str:
    found = getattr(error, "error", error.args[0] if error.args else None)
    return found.str() if isinstance(found, KafkaError) else str(error)


def _is_disk_full(error: Exception) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT)
    return (isinstance(error, OSError) and error.errno in full) or any(
        os.strerror(number) in str(error) for number in full
    )
