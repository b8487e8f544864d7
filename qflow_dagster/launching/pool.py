"""The processes of a worker, any of which may be killed at any moment.

With PostgreSQL as the broker, whose client has no event loop, they take what they execute from one pipe, in turn: the
one that waits for it holds a lock. billiard's lock would stay locked when that process is killed, and the worker
would never begin another run. Does not belong here: what they execute (`worker`).
"""

import fcntl
import tempfile

from billiard.pool import Pool
from celery.concurrency.prefork import TaskPool


class ProcessLock:
    """A lock between a process and its forks, which the kernel takes back from one that ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the lock)

    def acquire(self) -> bool:
        """Wait for it, and hold it."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let others have it."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class KillablePool(Pool):
    """billiard's pool, with locks that end with their holders."""

    def _setup_queues(self) -> None:
        super()._setup_queues()
        self._inqueue._rlock, self._outqueue._wlock = ProcessLock(), ProcessLock()


class Processes(TaskPool):
    """Celery's processes, with such a pool where they share a pipe."""

    BlockingPool = KillablePool
