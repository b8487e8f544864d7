"""Nothing of a command is left when it ended, took too long, or whoever ran it was killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from qflow_dagster.sandbox import Kind, Limits, run, supervision
from qflow_dagster.settings import settings
from tests import forks
from tests.sandbox.conftest import PYTHON

# What a command may do to outlive its end. Each goes on for ever after it.
ATTEMPTS = {
    "forgets its death signal and its session": "libc.prctl(1, 0, 0, 0, 0)\nos.setsid() if os.getpgrp() != os.getpid() else 0",
    "forks twice": "if os.fork(): time.sleep(0.2); END\nos.setsid()\nif os.fork(): os._exit(0)",
    "ignores every signal": "for number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass",
    "blocks every signal": "signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))",
    "closes all descriptors": "os.closerange(0, 1024)",
    "kills all it can, the first process too": "for n in (9, 15, 19, 2):\n    for p in (1, os.getppid(), -1):\n        try: os.kill(p, n)\n        except OSError: pass",
    "stops and slows the first process": "try: os.kill(1, 19)\nexcept OSError: pass\nlibc.sched_setscheduler(1, 5, b'\\0' * 8)\nimport resource\nfor limit in range(16):\n    try: resource.prlimit(1, limit, (0, 0))\n    except (OSError, ValueError): pass",
    "becomes a reaper itself": "libc.prctl(36, 1, 0, 0, 0)\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: os.setsid()",
    "is many": "for _ in range(5):\n    os.fork()\nos.setsid() if os.getpgrp() != os.getpid() else 0",
    "traces its child": "if (child := os.fork()): libc.ptrace(16, child, 0, 0)",
}
GO_ON = """
while True:
    try: open("alive", "w").write("x")
    except OSError: pass
    time.sleep(0.02)
"""


def program(attempt: str, mark: str) -> list[str]:
    start = "import ctypes, os, signal, sys, time\nlibc = ctypes.CDLL(None)\n"
    # The command itself ends well in the one attempt that says so.
    return [PYTHON, "-c", start + ATTEMPTS[attempt].replace("END", "os._exit(0)") + GO_ON, mark]


def left(mark: str) -> list[psutil.Process]:
    """The processes with that mark on their command line: the command's, and bubblewrap's."""
    return [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]


@pytest.fixture
def mark() -> Iterator[str]:
    mark = f"mark-{uuid4().hex}"
    yield mark
    for process in left(mark):
        process.kill()


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_is_left_when_it_took_too_long(kind: str, folder: Path, mark: str, attempt: str) -> None:
    # On a busy machine it may take longer than a second to begin.
    for seconds in (1, 5, 15):
        done = run(program(attempt, mark), folder, limits=Limits(seconds, 2**31, 60))
        assert left(mark) == []
        assert done.seconds < seconds + 20
        if (folder / "alive").exists():
            break
    if attempt not in ("forks twice", "stops and slows the first process"):
        assert done.timed_out
        assert done.code is None
        assert (folder / "alive").exists()


@pytest.mark.parametrize("code", [0, 3])
def test_nothing_is_left_when_it_ended(kind: str, folder: Path, mark: str, code: int) -> None:
    behind = (
        f"{PYTHON} -c 'import os, time; os.fork() or (os.setsid(), time.sleep(999)); time.sleep(999)' {mark}"
    )
    script = f"setsid {behind} & (nohup {behind} &); exit {code}"
    assert run(["sh", "-c", script], folder).code == code
    assert left(mark) == []


def supervise(kind: Kind, folder: Path, command: list[str]) -> None:
    supervision.available = lambda: kind
    supervision.run(command, folder, limits=Limits(600, 2**31, 60))


def supervisor(kind: str, folder: Path, command: list[str]) -> ForkServerProcess:
    return forks.start(supervise, kind, folder, command)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_one(process: ForkServerProcess) -> None:
    process.kill()


def kill_group(process: ForkServerProcess) -> None:
    forks.kill_session(process)


def kill_both(process: ForkServerProcess) -> None:
    """The supervisor and the launcher, which is its child."""
    for child in [*psutil.Process(process.pid).children(), process]:
        # The end of the one may end the other first.
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_one, kill_group, kill_both])
@pytest.mark.parametrize("attempt", ["forgets its death signal and its session", "is many"])
def test_nothing_is_left_when_the_supervisor_was_killed(
    kind: str, folder: Path, mark: str, attempt: str, kill: Callable[[ForkServerProcess], None]
) -> None:
    process = supervisor(kind, folder, program(attempt, mark))
    wait_until((folder / "alive").exists)
    started = psutil.Process(process.pid).children(recursive=True)
    assert left(mark)
    kill(process)
    process.join()
    assert psutil.wait_procs([*started, *left(mark)], timeout=20)[1] == []
    assert left(mark) == []


def test_nothing_is_left_whenever_the_supervisor_is_killed(kind: str, folder: Path, mark: str) -> None:
    for number in range(4):
        (folder / "alive").unlink(missing_ok=True)
        process = supervisor(kind, folder, program("forgets its death signal and its session", mark))
        # At any moment from when the launcher is there; the next of them a little later.
        wait_until(psutil.Process(process.pid).children)
        time.sleep(0.04 * number)
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.join()
        assert psutil.wait_procs(started, timeout=20)[1] == []
        wait_until(lambda: not left(mark))


def test_the_launcher_killed_ends_the_command(kind: str, folder: Path, mark: str) -> None:
    process = supervisor(kind, folder, program("is many", mark))
    wait_until((folder / "alive").exists)
    for child in psutil.Process(process.pid).children():
        child.kill()
    process.join(30)
    assert process.exitcode is not None
    assert left(mark) == []


@pytest.mark.parametrize("attempt", ["forks twice", "forgets its death signal and its session", "is many"])
def test_without_isolation_what_was_started_is_found_and_ended(
    folder: Path, mark: str, attempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "available", lambda: "none")
    monkeypatch.setattr(settings().generation, "unisolated", True)
    run(program(attempt, mark), folder, limits=Limits(1, 2**31, 10_000))
    assert left(mark) == []
