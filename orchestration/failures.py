"""Which failures are worth another try: only those that time or another process can mend.

Here belongs sorting exceptions. Here does not belong a retry that an asset could do itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ingest.postgres import ExtractionError
from ingest.postgres.errors import ConnectionLostError
from lakehouse.errors import LakeError
from lakehouse.locks import LockHeldError
from orchestration.dbt_build import DbtCrashedError

RETRY_POLICY = dg.RetryPolicy(
    max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

_INFRASTRUCTURE = (
    ConnectionLostError,
    ConnectionError,
    TimeoutError,
    LockHeldError,
    DbtCrashedError,
)


@contextmanager
def retry_only_infrastructure() -> Iterator[None]:
    """Let the retry policy see a failure only if another try can succeed.

    Raises:
        dg.Failure: For everything else; it is not retried and says what to do next if we know.
    """
    try:
        yield
    except (dg.Failure, *_INFRASTRUCTURE):
        raise
    except ExtractionError as failed:
        if all(isinstance(error, _INFRASTRUCTURE) for error in failed.errors):
            raise
        raise dg.Failure(str(failed), allow_retries=False) from failed
    except LakeError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except Exception as error:
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
