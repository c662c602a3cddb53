"""Which failures are worth another try: only those that time or another process can mend.

Here belongs sorting exceptions. Here does not belong a retry that a layer below does by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ingest.postgres import ConnectionLostError, ExtractionError
from lakehouse.errors import LakeError
from lakehouse.locks import LockHeldError
from orchestration.dbt_build import DbtCrashedError

_POLICY = dg.RetryPolicy(
    max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""Applied here and not given to the assets: Dagster would retry a run that somebody cancelled."""

_INFRASTRUCTURE = (
    ConnectionLostError,
    ConnectionError,
    TimeoutError,
    LockHeldError,
    DbtCrashedError,
)


@contextmanager
def retry_only_infrastructure(attempt: int) -> Iterator[None]:
    """Turn what an asset raises into a retry or into a failure that is final.

    Args:
        attempt: How many times the step has been retried already.

    Raises:
        dg.RetryRequested: Another try can succeed.
        dg.Failure: It cannot; says what to do next if we know.
    """
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        if is_infrastructure(error):
            raise dg.RetryRequested(
                max_retries=_POLICY.max_retries,
                seconds_to_wait=_POLICY.calculate_delay(attempt + 1),
            ) from error
        ours = isinstance(error, LakeError)
        said = str(error) if ours else f"{type(error).__name__}: {error}"
        raise dg.Failure(said, allow_retries=False) from error


def is_infrastructure(error: Exception) -> bool:
    """Whether nothing in the data or the code has to change before another try.

    Args:
        error: What was raised.
    """
    if isinstance(error, ExtractionError):
        return all(isinstance(each, _INFRASTRUCTURE) for each in error.errors)
    return isinstance(error, _INFRASTRUCTURE)
