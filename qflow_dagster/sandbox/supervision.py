"""Running a command in the sandbox: its limits, its output, its certain end.

Belongs here: which isolation works on this machine, starting the launcher, waiting. Does not belong
here: what the launcher is ordered to do (`orders`), and how it does it (`launcher`).
"""

import marshal
import os
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.sandbox.control_groups import control_groups
from qflow_dagster.sandbox.orders import MEGABYTE, NOBODY, Kind, Limits, launcher_orders
from qflow_dagster.sandbox.syscall_filter import SyscallFilterError, compiled
from qflow_dagster.sandbox.usage import Usage
from qflow_dagster.sandbox.view import NO_PACKAGES, Packages
from qflow_dagster.settings import settings

LAUNCHER = Path(__file__).with_name("launcher.py")
OUTPUT_BYTES = 1_000_000
# Where control groups can be made, all processes together may take this many times what one may.
MEMORY_IN_SUM = 2
SETUP_SECONDS = 30
BUBBLEWRAP_FAILED = 1
# Seconds between two looks at limits that nobody reports.
LOOK_SECONDS = 0.25


class NotIsolatedError(QflowError):
    """The command was not run, because this machine cannot isolate it."""


class Ran(NamedTuple):
    """How a command ended; `output` is the end of what it printed, both streams together."""

    code: int | None
    output: str
    seconds: float
    timed_out: bool
    isolation: Kind


_works: list[Kind] = []


def available() -> Kind:
    """Return the strongest isolation that works here, found out by trying it; what works is tried once."""
    if _works:
        return _works[0]
    for kind in ("bubblewrap", "namespaces"):
        works = False
        with (
            tempfile.TemporaryDirectory(prefix="qflow-probe-") as folder,
            suppress(OSError, NotIsolatedError, SyscallFilterError),
        ):
            works = _run(kind, ["true"], Path(folder), Limits(SETUP_SECONDS, 2**30, 64), "").code == 0
        if works:
            _works.append(kind)
            return kind
    return "none"


def run(
    command: Sequence[str],
    folder: Path,
    *,
    limits: Limits | None = None,
    stdin: str = "",
    packages: Packages = NO_PACKAGES,
) -> Ran:
    """Run `command` in `folder`, which it may write, with that standard input, and wait for its end.

    Beside the view it sees `packages`, unless nothing isolates it.

    Raises:
        NotIsolatedError: there is no isolation here, and `QFLOW_GENERATION_UNISOLATED` does not allow to do without.
        UsageError: a folder it shall see by `QFLOW_GENERATION_SANDBOX_PATHS` holds our own state.
    """
    configured = settings().generation
    limits = limits or Limits(
        seconds=configured.test_timeout,
        memory=configured.test_memory * MEGABYTE,
        processes=configured.test_processes,
        disk=configured.test_disk * MEGABYTE,
    )
    kind = available()
    if kind == "none" and not configured.unisolated:
        raise NotIsolatedError(
            f"this machine cannot isolate a repository's own commands: {_missing()}; "
            "QFLOW_GENERATION_UNISOLATED=true runs them without, with all your rights"
        )
    return _run(kind, command, folder, limits, stdin, packages)


def _missing() -> str:
    try:
        compiled()
    except SyscallFilterError as error:
        return str(error)
    return (
        "its kernel must allow this user to make user namespaces (sysctl user.max_user_namespaces, AppArmor)"
    )


def _run(
    kind: Kind,
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    stdin: str,
    packages: Packages = NO_PACKAGES,
) -> Ran:
    if os.geteuid() == 0 and kind != "none":
        # Root is exempt from the limit of processes, so nobody runs it.
        _give_to_nobody(folder)
    with ExitStack() as stack:
        groups = stack.enter_context(control_groups(limits.memory * MEMORY_IN_SUM, limits.processes + 8))
        orders = launcher_orders(kind, command, folder, limits, groups, packages)
        # What the command may see may take a moment to find out, which is not its own.
        started = time.monotonic()
        sandbox = _Sandbox(orders, stack)
        try:
            timed_out, exceeded = sandbox.wait(
                stdin.encode(), started + limits.seconds, Usage(folder, limits.disk)
            )
        finally:
            sandbox.end()
        output, seconds = sandbox.output(), time.monotonic() - started
        if not (timed_out or exceeded) and sandbox.failed_to_begin():
            raise NotIsolatedError(f"the sandbox cannot be set up: {output.strip()[-500:]}")
    if exceeded:
        output += f"\nstopped: it wrote more than {limits.disk // MEGABYTE} MB into its folder\n"
    code = None if timed_out else sandbox.process.returncode
    return Ran(code, output, seconds, timed_out, kind)


class _Sandbox:
    """A launcher at work: the process, what holds everything it started, and its output."""

    def __init__(self, orders: dict[str, Any], stack: ExitStack) -> None:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        # Whoever holds it sees our end, however it comes.
        us = os.pidfd_open(os.getpid())
        stack.callback(os.close, us)
        # Where bubblewrap says how the command ended, which it does not where that never began.
        self._status, status = os.pipe()
        stack.callback(os.close, self._status)
        with theirs, os.fdopen(status, "wb"):
            self.process = stack.enter_context(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        "-B",
                        str(LAUNCHER),
                        str(theirs.fileno()),
                        str(us),
                        str(status),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                    pass_fds=[theirs.fileno(), us, status],
                    start_new_session=True,
                )
            )
        assert self.process.stdin is not None  # noqa: S101
        assert self.process.stdout is not None  # noqa: S101
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self._first: int | None = None
        self._output = bytearray()
        try:
            ours.settimeout(SETUP_SECONDS)
            self._kind = orders["kind"]
            ours.sendall(marshal.dumps(orders))
            ours.shutdown(socket.SHUT_WR)
            problem = b""
            while True:
                data, descriptors, *_ = socket.recv_fds(ours, 65_536, 1)
                for descriptor in descriptors:
                    stack.callback(os.close, descriptor)
                    self._first = descriptor
                if not data:
                    break
                problem += data
            if problem := problem.removeprefix(b"+"):
                raise NotIsolatedError(f"the sandbox cannot be set up: {problem.decode(errors='replace')}")
        except BaseException as error:
            self.end()
            if isinstance(error, OSError):
                raise NotIsolatedError(f"the sandbox cannot be set up: {error}") from None
            raise

    def wait(self, stdin: bytes, deadline: float, usage: Usage) -> tuple[bool, bool]:
        """Feed and listen until the command ends; whether it took too long, and whether it wrote too much."""
        pending = memoryview(stdin)
        out, into = self._stdout.fileno(), self._stdin.fileno()
        ended = os.pidfd_open(self.process.pid)
        with selectors.DefaultSelector() as selector, ExitStack() as stack:
            stack.callback(os.close, ended)
            os.set_blocking(out, False)
            os.set_blocking(into, False)
            selector.register(ended, selectors.EVENT_READ)
            selector.register(out, selectors.EVENT_READ)
            selector.register(into, selectors.EVENT_WRITE)
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(min(left, LOOK_SECONDS))}
                if into in ready:
                    try:
                        pending = pending[os.write(into, pending[:65_536]) :]
                    except BrokenPipeError:
                        pending = pending[:0]
                    if not pending:
                        selector.unregister(into)
                        self._stdin.close()
                if out in ready and not self._read():
                    selector.unregister(out)
                if ended in ready:
                    return False, False
                if usage.exceeded():
                    return False, True
        return True, False

    def _read(self) -> bool:
        """Take what is there; False at the end. Of much, the end alone is kept."""
        data = os.read(self._stdout.fileno(), 1 << 20)
        self._output += data
        if len(self._output) > 2 * OUTPUT_BYTES:
            del self._output[:-OUTPUT_BYTES]
        return bool(data)

    def end(self) -> None:
        """See to it that nothing is left; a namespace is gone when its first process is."""
        if self._first is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            poll = select.poll()
            poll.register(self._first, select.POLLIN)
            poll.poll()
        else:
            self.process.terminate()
        try:
            self.process.wait(SETUP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def failed_to_begin(self) -> bool:
        """Return whether it was bubblewrap that failed, before the command began; asked at the end."""
        if self._kind != "bubblewrap" or self.process.returncode != BUBBLEWRAP_FAILED:
            return False
        os.set_blocking(self._status, False)
        try:
            return b"exit-code" not in os.read(self._status, 65_536)
        except BlockingIOError:
            return True

    def output(self) -> str:
        """Return the end of what the command printed, both streams together."""
        # At most what a pipe holds: without isolation, a process may be left that still writes.
        with suppress(BlockingIOError):
            for _ in range(16):
                if not self._read():
                    break
        return self._output[-OUTPUT_BYTES:].decode("utf-8", "replace")


def _give_to_nobody(folder: Path) -> None:
    chown = shutil.which("chown")
    if chown is None:
        raise QflowError("chown is not on PATH")
    # -h: a link is given away, not what it points to.
    subprocess.run([chown, "-hR", f"{NOBODY}:{NOBODY}", str(folder)], check=True, capture_output=True)
