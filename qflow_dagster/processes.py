"""Worker processes for batches of untrusted input that may crash or hang them.

Belongs here: distributing batches, detecting a worker that died or hangs, and isolating the task
that caused it. Does not belong here: the processing of a task (the handler), storing results (the
caller).

A worker is a fresh interpreter on this module, not a fork or a spawned copy: it inherits neither
threads nor connections, does not import the program that started it (Dagster: seconds), and
starts in 0.2 s.
"""

import ctypes
import gc
import importlib
import os
import queue
import resource
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection as pipes
from typing import Any, NamedTuple

from qflow_dagster.errors import QflowError

# Seconds after which the worker of a batch is considered hanging.
STALL_SECONDS = 180.0
# Seconds a worker may take to start, which does not count as hanging: a busy machine starts slowly.
START_SECONDS = 180.0
# Address space of a worker, in bytes: a task that explodes ends its worker, not the machine.
WORKER_MEMORY = 3 * 1024**3

# Environment variables passed to a worker, besides LC_*: paths of programs and libraries, language, time
# zone, folder for temporary files.
ENVIRONMENT = {"PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR"}

ENTRY = f"import {__name__} as processes; processes.serve()"


def host_name() -> str:
    """Return the name of this machine, as leases and workers show it."""
    return socket.gethostname()


class LostResult(NamedTuple):
    """The decision on a task that crashed its worker by itself: retry it as `again`, or use `result`."""

    again: Any = None
    result: Any = None


@dataclass(eq=False)
class Worker:
    """A worker process, our end of its pipe, whether it has started, its current batch, and since when."""

    process: subprocess.Popen[bytes]
    pipe: pipes.Connection
    started: bool = False
    batch: list[Any] = field(default_factory=list)
    since: float = 0.0


def in_processes(
    handler: Callable[[Any, list[Any]], Any],
    context: Any,
    batches: Sequence[list[Any]],
    processes: int,
    *,
    lost: Callable[[Any, int | None], LostResult],
    stall: float | None = None,
) -> Generator[Any]:
    """Yield ``handler(context, batch)`` of every batch as results arrive, from `processes` worker processes.

    `handler` is a module-level function; tasks and results can be pickled. A worker that dies, or sends
    nothing for `stall` seconds (default: `STALL_SECONDS`), is replaced. Its batch is retried task by
    task, and `lost(task, exit code)` decides on a task that crashes its worker by itself.

    Raises:
        QflowError: The handler raised it.
    """
    stall = stall or STALL_SECONDS
    waiting = deque(batches)
    workers: list[Worker] = []
    try:
        while waiting or any(worker.batch for worker in workers):
            idle = [worker for worker in workers if not worker.batch]
            while len(idle) < len(waiting) and len(workers) < processes:
                idle.append(_start(handler, context))
                workers.append(idle[-1])
            for worker in idle[: len(waiting)]:
                _hand_out(worker, waiting.popleft())
            busy = [worker for worker in workers if worker.batch]
            ready = pipes.wait([worker.pipe for worker in busy], timeout=stall)
            for worker in busy:
                if worker.pipe in ready:
                    if not worker.started and _started(worker):
                        continue
                    done, result = _receive(worker)
                    if done:
                        # The worker continues while the caller stores the result.
                        if waiting:
                            _hand_out(worker, waiting.popleft())
                        yield result
                        continue
                elif time.monotonic() - worker.since < (
                    stall if worker.started else max(stall, START_SECONDS)
                ):
                    continue
                workers.remove(worker)
                _end(worker)
                if len(worker.batch) > 1:
                    waiting.extendleft([task] for task in reversed(worker.batch))
                    continue
                fate = lost(worker.batch[0], worker.process.returncode)
                if fate.again is not None:
                    waiting.appendleft([fate.again])
                else:
                    yield fate.result
    finally:
        for worker in workers:
            _end(worker)


class WorkerTimeoutError(Exception):
    """A call exceeded its time limit; its process was killed."""


class WorkerDiedError(Exception):
    """The process died during a call; `code` is its exit code."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"its process died (exit code {code})")
        self.code = code


class Pool:
    """A pool of long-lived processes, each called by a thread with a task at a time; dead ones are replaced."""

    def __init__(self, handler: Callable[[Any, list[Any]], Any], context: Any, processes: int) -> None:
        self._make = lambda: _start(handler, context)
        # None stands for a process that is not started yet.
        self._places: queue.SimpleQueue[Worker | None] = queue.SimpleQueue()
        self._count = processes
        for _ in range(processes):
            self._places.put(None)

    def call(self, task: Any, timeout: float) -> Any:
        """Return ``handler(context, [task])`` from a free process; `timeout` (s) excludes waiting for it and its start.

        Raises:
            WorkerTimeoutError: The call took longer than `timeout`.
            WorkerDiedError: The process died during the call.
            QflowError: The handler raised it.
        """
        worker = self._places.get() or self._make()
        keep: Worker | None = None
        try:
            _hand_out(worker, [task])
            if not worker.started and worker.pipe.poll(START_SECONDS):
                _started(worker)
            if not worker.pipe.poll(timeout):
                raise WorkerTimeoutError(f"it took longer than {timeout:g} s")
            try:
                done, result = _receive(worker)
            except QflowError:
                worker.batch, keep = [], worker
                raise
            if not done:
                worker.process.wait(10)
                raise WorkerDiedError(worker.process.returncode)
            keep = worker
            return result
        finally:
            if keep is None:
                _end(worker)
            self._places.put(keep)

    def close(self) -> None:
        """End the processes; no call may be in progress."""
        for _ in range(self._count):
            worker = self._places.get()
            if worker is not None:
                _end(worker)


def _start(handler: Callable[..., Any], context: Any) -> Worker:
    ours, theirs = pipes.Pipe()
    # -P and another folder: the folder we were started in may be a hostile checkout, with modules
    # named as Python's own. A process that reads untrusted bytes must not get our environment, which may hold
    # passwords.
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", ENTRY, str(theirs.fileno()), handler.__module__, handler.__qualname__],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={
            name: value for name, value in os.environ.items() if name in ENVIRONMENT or name.startswith("LC_")
        },
        start_new_session=True,
    )
    theirs.close()
    with suppress(OSError):
        ours.send(context)
    return Worker(process, ours)


def _hand_out(worker: Worker, batch: list[Any]) -> None:
    worker.batch, worker.since = batch, time.monotonic()
    # A worker that died meanwhile is detected when its pipe is read.
    with suppress(OSError):
        worker.pipe.send(batch)


def _started(worker: Worker) -> bool:
    """Read the first message of a worker, sent once it has started; false if it died before."""
    with suppress(EOFError, OSError):
        worker.pipe.recv()
        worker.started, worker.since = True, time.monotonic()
    return worker.started


def _receive(worker: Worker) -> tuple[bool, Any]:
    """Return whether the worker finished its batch, and the result."""
    try:
        outcome = worker.pipe.recv()
    except (EOFError, OSError):
        return False, None
    if isinstance(outcome, QflowError):
        raise outcome
    worker.batch = []
    return True, outcome


def _end(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    worker.pipe.close()


def _leave_privileges() -> None:
    """Leave the keyring of the login session, and disable privileges from set-user-ID programs."""
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        # keyctl(KEYCTL_JOIN_SESSION_KEYRING), which libc has no function for; prctl(PR_SET_NO_NEW_PRIVS).
        libc.syscall(250 if os.uname().machine == "x86_64" else 219, 1, None)
        libc.prctl(38, 1, 0, 0, 0)


def serve() -> None:
    """Run as a worker: read batches and write results until the pipe closes."""
    descriptor, module, name = sys.argv[1:]
    pipe = pipes.Connection(int(descriptor))
    # macOS does not support this limit.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEMORY, WORKER_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _leave_privileges()
    handler = getattr(importlib.import_module(module), name)
    # Results have no reference cycles, and searching for some takes a tenth of the time.
    gc.freeze()
    gc.disable()
    with suppress(EOFError, ConnectionError):
        context = pipe.recv()
        pipe.send("started")
        while True:
            gc.collect()
            batch = pipe.recv()
            try:
                pipe.send(handler(context, batch))
            except QflowError as error:
                pipe.send(error)
