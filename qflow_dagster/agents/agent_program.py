"""Any program as an agent: it reads an assignment as JSON on its standard input and prints its result as JSON.

The program runs as the user who starts it, on this machine, outside the sandbox: it is the user's own.
Belongs here: the loop around it. Does not belong here: the agents that ship (`builtin_agents`).
"""

import json
import math
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from qflow_dagster.agents import assignments, coordination
from qflow_dagster.agents.coordination import Capability
from qflow_dagster.quantumflow import LeaseLostError, Workflow
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import read_json, storable_text

logger = logs.logger(__name__)
T = TypeVar("T")
MAX_OUTPUT_BYTES = 10_000_000
# Seconds between two tries while the database is away: doubled each time, up to the second.
FIRST_WAIT, MAX_WAIT = 1.0, 15.0


def work(
    engine: Engine,
    capability: Capability,
    command: Sequence[str],
    *,
    timeout: float = 3_600.0,
    idle: float | None = None,
    poll: float = 1.0,
    report: Callable[[str], None] = lambda message: None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Register the agent and work until `stop` returns true, or nothing came for `idle` seconds.

    Return how many assignments were done. `timeout` (seconds) limits each run of the program; `poll` is the
    wait between two looks for work; `report` receives a message per assignment. A database that is away is waited for.
    """
    done, idle_since = 0, time.monotonic()
    with engine.begin() as connection:
        coordination.register(connection, capability)
    last_heartbeat = time.monotonic()

    def look() -> list[Workflow]:
        nonlocal last_heartbeat
        with engine.begin() as connection:
            if time.monotonic() - last_heartbeat > (capability.heartbeat or 15.0) / 3:
                coordination.heartbeat(connection, capability.name)
                last_heartbeat = time.monotonic()
            assignments.route(connection)
            return assignments.claim_assigned(connection, capability.name, limit=1)

    while not stop():
        claimed = _persistently(look)
        for workflow in claimed:
            with _heartbeats(engine, capability):
                done += _do(engine, capability.name, workflow, command, timeout, report)
            idle_since = time.monotonic()
        if not claimed:
            if idle is not None and time.monotonic() - idle_since > idle:
                break
            time.sleep(poll)
    return done


@contextmanager
def _heartbeats(engine: Engine, capability: Capability) -> Iterator[None]:
    """Send heartbeats of the agent while its program runs."""
    done = threading.Event()

    def send() -> None:
        while not done.wait((capability.heartbeat or 15.0) / 3):
            try:
                with engine.begin() as connection:
                    coordination.heartbeat(connection, capability.name)
            except Exception as error:
                logger.warning("no heartbeat of %s: %s", capability.name, error)

    threading.Thread(target=send, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _do(
    engine: Engine,
    agent: str,
    workflow: Workflow,
    command: Sequence[str],
    timeout: float,
    report: Callable[[str], None],
) -> int:
    """Run the program on one assignment and report the result; return 1 if it succeeded, else 0."""
    try:
        with kept_alive(engine, [workflow]):
            result, problem, retry = _run(command, workflow.payload, timeout)
        if problem is None:
            cost = _cost(result.get("cost")) if isinstance(result, dict) else 0.0
            _persistently(lambda: assignments.succeed(engine, workflow, agent, result, cost=cost))
            report(f"done: {workflow.id}")
            return 1
        problem = redact_text(storable_text(problem))
        status = _persistently(
            lambda: assignments.report_failure(engine, workflow, agent, problem, retry=retry)
        )
        report(f"failed ({status}): {workflow.id}: {problem.splitlines()[0][:200]}")
    except LeaseLostError:
        report(f"too late: {workflow.id} is done, or held by another worker")
    return 0


def _persistently(transaction: Callable[[], T]) -> T:
    """Do it again until the database answers: an agent, and the result of its program, outlive a restart of it."""
    wait = FIRST_WAIT
    while True:
        try:
            return transaction()
        except OperationalError as error:
            logger.warning(
                "the database does not answer (%s); trying again in %.0f s", type(error.orig).__name__, wait
            )
            time.sleep(wait)
            wait = min(2 * wait, MAX_WAIT)


def _run(command: Sequence[str], assignment: Any, timeout: float) -> tuple[Any, str | None, bool]:
    """Return the program's result, or the problem and whether another attempt may succeed."""
    # Files, not pipes: a process that the program left running may hold a pipe open for ever.
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(json.dumps(assignment).encode())
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                list(command), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )
        except (OSError, ValueError) as error:
            return None, f"{command[0]} cannot be started: {getattr(error, 'strerror', error)}", True
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None, f"{command[0]} took longer than {timeout:g} s", True
        finally:
            # Kill the processes it started too, whether it ended, timed out, or we are interrupted.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            error_output = _end_of(stderr, 2_000).decode("utf-8", "replace").strip()
            return None, f"{command[0]} ended with {process.returncode}: {error_output}", True
        if stdout.seek(0, os.SEEK_END) > MAX_OUTPUT_BYTES:
            return None, f"{command[0]} printed more than {MAX_OUTPUT_BYTES:,} bytes", False
        printed = _end_of(stdout, MAX_OUTPUT_BYTES)
    try:
        result = read_json(printed or b"null")
    except ValueError as error:
        return None, f"{command[0]} did not print valid JSON: {error}", True
    if result is None and printed.strip() not in (b"", b"null"):
        return None, f"{command[0]} printed JSON that cannot be stored", True
    return result, None, False


def _cost(stated: Any) -> float:
    """Return the cost that the program states; 0 if it is not a valid amount."""
    amount = isinstance(stated, int | float) and not isinstance(stated, bool)
    return float(stated) if amount and 0 <= stated < math.inf else 0.0


def _end_of(file: IO[bytes], max_bytes: int) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
    return file.read()
