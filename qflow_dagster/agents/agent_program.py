"""Any program as an agent: it gets an assignment as JSON on its standard input and prints JSON.

The program runs as whoever starts it, here, outside the sandbox: it is the user's own. Belongs
here: the loop around it. Does not belong here: what ships (`builtin_agents`).
"""

import json
import math
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any

from sqlalchemy import Engine

from qflow_dagster.agents import assignments, coordination
from qflow_dagster.agents.coordination import Capability
from qflow_dagster.quantumflow import LeaseLostError, Workflow
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import read_json, storable_text

logger = logs.logger(__name__)
OUTPUT_BYTES = 10_000_000


def work(
    engine: Engine,
    capability: Capability,
    command: Sequence[str],
    *,
    timeout: float = 3_600.0,
    idle: float | None = None,
    poll: float = 1.0,
    report: Callable[[str], None] = lambda words: None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Register the agent and work until `stop`, or until nothing came for `idle` seconds; return how many were done."""
    done, quiet_since = 0, time.monotonic()
    with engine.begin() as connection:
        coordination.register(connection, capability)
    beaten = time.monotonic()
    while not stop():
        with engine.begin() as connection:
            if time.monotonic() - beaten > (capability.heartbeat or 15.0) / 3:
                coordination.beat(connection, capability.name)
                beaten = time.monotonic()
            assignments.route(connection)
            taken = assignments.take(connection, capability.name, limit=1)
        for workflow in taken:
            with _beating(engine, capability):
                done += _do(engine, capability.name, workflow, command, timeout, report)
            quiet_since = time.monotonic()
        if not taken:
            if idle is not None and time.monotonic() - quiet_since > idle:
                break
            time.sleep(poll)
    return done


class _beating:  # noqa: N801
    """Heartbeats of the agent while its program works."""

    def __init__(self, engine: Engine, capability: Capability) -> None:
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._beat, args=(engine, capability), daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.done.set()

    def _beat(self, engine: Engine, capability: Capability) -> None:
        while not self.done.wait((capability.heartbeat or 15.0) / 3):
            try:
                with engine.begin() as connection:
                    coordination.beat(connection, capability.name)
            except Exception as error:
                logger.warning("no heartbeat of %s: %s", capability.name, error)


def _do(
    engine: Engine,
    agent: str,
    workflow: Workflow,
    command: Sequence[str],
    timeout: float,
    report: Callable[[str], None],
) -> int:
    """Hand one assignment to the program and report what came of it; 1 if it was done."""
    try:
        with kept_alive(engine, [workflow]):
            result, problem, again = _run(command, workflow.payload, timeout)
        if problem is None:
            cost = _cost(result.get("cost")) if isinstance(result, dict) else 0.0
            assignments.succeed(engine, workflow, agent, result, cost=cost)
            report(f"done: {workflow.id}")
            return 1
        problem = redact_text(storable_text(problem))
        status = assignments.report_failure(engine, workflow, agent, problem, retry=again)
        report(f"failed ({status}): {workflow.id}: {problem.splitlines()[0][:200]}")
    except LeaseLostError:
        report(f"too late: {workflow.id} is somebody else's by now")
    return 0


def _run(command: Sequence[str], given: Any, timeout: float) -> tuple[Any, str | None, bool]:
    """What the program answered, or what went wrong and whether another attempt may do better."""
    # Files, not pipes: what the program left running may hold a pipe open for ever.
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked.write(json.dumps(given).encode())
        asked.seek(0)
        try:
            process = subprocess.Popen(
                list(command), stdin=asked, stdout=out, stderr=err, start_new_session=True
            )
        except (OSError, ValueError) as error:
            return None, f"{command[0]} cannot be started: {getattr(error, 'strerror', error)}", True
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None, f"{command[0]} took longer than {timeout:g} s", True
        finally:
            # With all it started, whether it ended, took too long, or we are interrupted.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            words = _end_of(err, 2_000).decode("utf-8", "replace").strip()
            return None, f"{command[0]} ended with {process.returncode}: {words}", True
        if out.seek(0, os.SEEK_END) > OUTPUT_BYTES:
            return None, f"{command[0]} printed more than {OUTPUT_BYTES:,} bytes", False
        printed = _end_of(out, OUTPUT_BYTES)
    try:
        result = read_json(printed or b"null")
    except ValueError as error:
        return None, f"{command[0]} printed no JSON: {error}", True
    if result is None and printed.strip() not in (b"", b"null"):
        return None, f"{command[0]} printed no JSON that can be kept", True
    return result, None, False


def _cost(stated: Any) -> float:
    """What the program says it cost; 0 if that is no amount."""
    amount = isinstance(stated, int | float) and not isinstance(stated, bool)
    return float(stated) if amount and 0 <= stated < math.inf else 0.0


def _end_of(file: IO[bytes], most: int) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - most))
    return file.read()
