"""Processes that start at once: forks of a server that has imported what they work with.

A fresh interpreter would import for a second or more, often longer than what it is there for. What a process
inherits when it is started, and the program `qflow` itself, have tests that start the real one.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from typing import Any

from qflow_dagster.settings import settings

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "qflow_dagster.agents.agent_program",
        "qflow_dagster.agents.self_improvement",
        "qflow_dagster.ingestion.pipeline",
        "qflow_dagster.notifications.delivery",
        __name__,
    ]
)
Pipe = _context.Pipe


def start(
    target: Callable[..., Any], *arguments: Any, environment: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Start a process, in a session of its own, that calls a function of a module with `arguments`.

    It has the variables of this process, and those of `environment`.
    """
    variables = {**os.environ, **(environment or {})}
    process = _context.Process(target=_call, args=(variables, target, arguments), daemon=True)
    process.start()
    return process


def kill_session(process: ForkServerProcess) -> None:
    """Kill a process and what it started."""
    assert process.pid is not None
    # Not yet a session where it has just been started.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _call(variables: dict[str, str], target: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.setsid()
    # In the background of a shell, where tests may run, it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    # The server may have read those of another test.
    settings.cache_clear()
    target(*arguments)
