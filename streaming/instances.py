"""Which instances of the stream run on this checkout.

Here belongs knowing that one does: what changes landed records must not meet one that lands.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lakehouse.errors import LakeError
from lakehouse.locks import FileLock
from lakehouse.settings import Settings

_MOST = 64


def _locks(settings: Settings) -> Iterator[FileLock]:
    for number in range(_MOST):
        path = settings.state_dir / "stream" / f"instance-{number}.lock"
        yield FileLock(path, purpose="lake stream run")


@contextmanager
def running_instance(settings: Settings) -> Iterator[None]:
    """This process is an instance while the block runs.

    Raises:
        LakeError: Too many are.
    """
    for lock in _locks(settings):
        if lock.try_acquire():
            try:
                yield
            finally:
                lock.release()
            return
    raise LakeError(f"{_MOST} instances run on this machine already", "end some of them")


@contextmanager
def no_instance(settings: Settings) -> Iterator[None]:
    """No instance runs or starts while the block runs.

    Raises:
        LakeError: One runs.
    """
    with ExitStack() as held:
        for lock in _locks(settings):
            if not lock.try_acquire():
                raise LakeError("`lake stream run` is running", "end it first, then try again")
            held.callback(lock.release)
        yield
