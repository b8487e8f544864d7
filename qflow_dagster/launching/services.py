"""The processes of `qflow up`: forks of a process that has imported everything, so that they share its memory.

What a service prints goes into a file. What it must say to people (`logger.error` of a module of ours) goes to the
console as well. Does not belong here: when services start and stop (`cli.up`).
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._utils.interrupts import setup_interrupt_handlers
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster import definitions
from qflow_dagster.database import engine
from qflow_dagster.launching import daemon, worker
from qflow_dagster.quantumflow import leases
from qflow_dagster.registry import RunQueue
from qflow_dagster.safety.logs import SafeFilter
from qflow_dagster.settings import settings

# Seconds before a service that ended is started again: doubled each time, until it has run for the last.
FIRST_WAIT, MAX_WAIT, STEADY = 1.0, 60.0, 120.0
# Bytes of a log file above which the next start begins a new one; the old one is kept.
MAX_LOG = 10_000_000
# Of <malloc.h>; and heaps of a process.
M_ARENA_MAX, MAX_ARENAS = -8, 2

_fork = multiprocessing.get_context("fork")


class Service:
    """A process that is started again when it ends, with growing waits."""

    def __init__(self, name: str, run: Callable[..., Any], *arguments: Any) -> None:
        self.name = name
        self.log = settings().home / "logs" / f"{name.replace(' ', '-')}.log"
        self._run, self._arguments = run, arguments
        self._wait = FIRST_WAIT
        self._next_start = 0.0
        self.start()

    def start(self) -> None:
        """Fork the process, in a session of its own: Ctrl-C reaches the parent alone, which stops it in order."""
        self._started_at = time.monotonic()
        self._process = _fork.Process(target=self._main, name=self.name)
        self._process.start()
        self._reported = False

    def ended(self) -> int | None:
        """Return the exit code of a process that has ended; None: it runs."""
        return self._process.exitcode

    def supervise(self) -> str | None:
        """Start it again when it is time to; return what there is to say, if anything."""
        code = self.ended()
        if code is None:
            return None
        now = time.monotonic()
        if not self._reported:
            self._reported = True
            if now - self._started_at > STEADY:
                self._wait = FIRST_WAIT
            self._next_start = now + self._wait
            seconds, self._wait = self._wait, min(self._wait * 2, MAX_WAIT)
            # What it started is not left behind.
            self._kill_session()
            return f"{self.name} ended ({_cause(code)}) and starts again in {seconds:.0f} s; see {self.log}"
        if now >= self._next_start:
            self.start()
            return f"{self.name} started again"
        return None

    def interrupt(self) -> None:
        """Let the process end in order."""
        if self.ended() is None and self._process.pid:
            os.kill(self._process.pid, signal.SIGINT)

    def stop(self, seconds: float) -> None:
        """Wait for the end of an interrupted process; then kill whatever is left."""
        self._process.join(seconds)
        self._kill_session()
        self._process.join()

    def _kill_session(self) -> None:
        if self._process.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            if self._run is daemon.run:
                # The next one does not wait for the lease of one that cannot give it back any more.
                with suppress(SQLAlchemyError), engine().begin() as connection:
                    leases.forget_process(connection, self._process.pid)

    def _main(self) -> None:
        os.setsid()
        # Those of the parent collect signals, and end nothing.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        setup_interrupt_handlers()
        engine().dispose(close=False)
        _log_into(self.log)
        with suppress(KeyboardInterrupt):
            self._run(*self._arguments)


def prepare() -> None:
    """Make what was imported so far shared by all forks: nothing of it is looked at by the garbage collector."""
    RepositorySnap.from_def(definitions.definitions.get_repository_def())
    with suppress(OSError, AttributeError):
        # A heap for each of many threads, which is what glibc makes, costs megabytes that are never used again.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)
    gc.collect()
    gc.freeze()


def start_daemon() -> Service:
    """Start Dagster's daemon, which also evaluates sensors and schedules."""
    return Service("daemon", daemon.run)


def start_workers() -> list[Service]:
    """Start a worker for each queue, so that nothing quick waits for something long."""
    limits = settings().workers
    return [
        Service(f"worker {queue}", worker.work, [queue.value], number)
        for queue, number in ((RunQueue.QUICK, limits.quick), (RunQueue.LONG, limits.long))
    ]


def _log_into(file: Path) -> None:
    """Write all output into a file, and errors of our modules also to the console."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if file.exists() and file.stat().st_size > MAX_LOG:
        file.replace(file.with_suffix(".old.log"))
    console = logging.StreamHandler(os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1))
    console.setLevel(logging.ERROR)
    console.setFormatter(logging.Formatter("%(message)s"))
    console.addFilter(SafeFilter())
    logging.getLogger("qflow_dagster").addHandler(console)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(handle, stream.fileno())
    os.close(handle)


def _cause(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
