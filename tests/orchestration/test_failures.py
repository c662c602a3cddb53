"""Only what another try can mend is left to the retry policy."""

import dagster as dg
import pytest

from ingest.postgres import ConnectionLostError, ExtractionError, SourceError
from lakehouse.errors import LakeError
from lakehouse.locks import LockHeldError
from orchestration.dbt_build import DbtCrashedError
from orchestration.failures import RETRY_POLICY, retry_only_infrastructure

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
def test_infrastructure_is_retried(error: Exception) -> None:
    with pytest.raises(type(error)), retry_only_infrastructure():
        raise error
    assert (RETRY_POLICY.backoff, RETRY_POLICY.jitter) == (
        dg.Backoff.EXPONENTIAL,
        dg.Jitter.PLUS_MINUS,
    )


@pytest.mark.parametrize(
    "error",
    [MISSING, LakeError("bad", "mend"), ExtractionError([LOST, MISSING], []), KeyError("a bug")],
)
def test_nothing_else_is(error: Exception) -> None:
    with pytest.raises(dg.Failure) as failed, retry_only_infrastructure():
        raise error
    assert failed.value.allow_retries is False
    if isinstance(error, LakeError):
        assert failed.value.description == str(error)
