"""Only what another try can mend is tried again."""

import dagster as dg
import pytest

from ingest.postgres import ConnectionLostError, ExtractionError, SourceError
from lakehouse.errors import LakeError
from lakehouse.locks import LockHeldError
from orchestration.dbt_build import DbtCrashedError
from orchestration.failures import retry_only_infrastructure

LOST = ConnectionLostError("the connection broke", "try again")
MISSING = SourceError("there is no table x", "create it")


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        LockHeldError("already running", "wait"),
        DbtCrashedError("dbt was killed"),
        TimeoutError("no answer"),
        ExtractionError([LOST], []),
    ],
)
def test_infrastructure_is_retried_later_and_later(error: Exception) -> None:
    waits = []
    for attempt in (0, 1):
        with pytest.raises(dg.RetryRequested) as retry, retry_only_infrastructure(attempt):
            raise error
        waits.append(retry.value.seconds_to_wait or 0)
        assert retry.value.max_retries == 2
    assert 0 <= waits[0] <= 20 <= waits[1] <= 40, "10 and 30 seconds, give or take 10"


@pytest.mark.parametrize(
    "error",
    [MISSING, LakeError("bad", "mend"), ExtractionError([LOST, MISSING], []), KeyError("a bug")],
)
def test_nothing_else_is(error: Exception) -> None:
    with pytest.raises(dg.Failure) as failed, retry_only_infrastructure(0):
        raise error
    assert failed.value.allow_retries is False
    if isinstance(error, LakeError):
        assert failed.value.description == str(error)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_a_cancelled_run_is_not(interrupt: type[BaseException]) -> None:
    with pytest.raises(interrupt), retry_only_infrastructure(0):
        raise interrupt
