"""Call generators, each isolated from the others: one that crashes, hangs or fails affects no other.

Belongs here: handing isolated ones to worker processes (`workers`); threads and circuit
breakers for those that call something remote.
"""

import threading
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators import ON_REQUEST, generators
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.tables import generation_attempts
from qflow_dagster.generation.validation import FileResult
from qflow_dagster.generation.workers import (
    Attempt,
    GateTask,
    GeneratorCall,
    call_batch,
    call_generator,
    lost_call,
    lost_gate_task,
    run_gates_batch,
)
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpenError, through_breaker
from qflow_dagster.processes import in_processes
from qflow_dagster.settings import settings

# Selects the generators to call for findings of a rule.
Choose = Callable[[Rule], Set[str]]


def call_generators(
    engine: Engine, requests: Sequence[Request], choose: Choose | None = None
) -> list[Attempt]:
    """Call every generator that fits for every request, restricted to those that `choose` selects for the rule.

    Without `choose` those are left out that are called on request only.
    """
    calls = [
        GeneratorCall(number, name, request)
        for number, request in enumerate(requests)
        for name, generator in generators().items()
        if generator.fits(request.rule, request.language)
        and (name not in ON_REQUEST if choose is None else name in choose(request.rule))
    ]
    by_name = generators()
    isolated = [[call] for call in calls if by_name[call.generator].isolated]
    remote = [call for call in calls if not by_name[call.generator].isolated]
    spending = Spending(engine)
    with ThreadPoolExecutor(max_workers=4) as threads:
        futures = [threads.submit(_call_remote, engine, call, spending) for call in remote]
        attempts = list(
            in_processes(
                call_batch,
                None,
                isolated,
                settings().ingestion.processes,
                lost=lost_call,
                stall=settings().generation.timeout,
            )
        )
        return [*attempts, *(future.result() for future in futures)]


class Spending:
    """The cost of the last day's calls: those on record, and those of this batch, which are not recorded yet."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._here: dict[str, float] = {}

    def of(self, generator: str) -> float:
        """Return the cost of a generator in the last 24 hours."""
        attempts = generation_attempts.c
        spent = select(func.sum(attempts.cost)).where(
            attempts.generator == generator, attempts.at > func.clock_timestamp() - timedelta(days=1)
        )
        with self.engine.connect() as connection:
            recorded = connection.scalar(spent) or 0.0
        with self._lock:
            return recorded + self._here.get(generator, 0.0)

    def add(self, attempt: Attempt) -> None:
        """Add the cost of an attempt."""
        name = attempt.call.generator
        with self._lock:
            self._here[name] = self._here.get(name, 0.0) + float(attempt.usage.get("cost", 0.0))


def _call_remote(engine: Engine, call: GeneratorCall, spending: Spending) -> Attempt:
    if spending.of(call.generator) >= settings().model.budget:
        problem = f"the day's budget of {settings().model.budget} is spent"
        return Attempt(call, "refused", [], problem, 0.0)

    try:
        with through_breaker(engine, f"generator.{call.generator}"):
            attempt = call_generator(call)
            spending.add(attempt)
            if attempt.outcome == "failed":
                raise _GeneratorFailedError(attempt)
            return attempt
    except _GeneratorFailedError as failed:
        return failed.attempt
    except CircuitOpenError as error:
        return Attempt(call, "refused", [], str(error), 0.0)


class _GeneratorFailedError(QflowError):
    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        super().__init__(attempt.problem or "failed")


def run_gates(tasks: Sequence[GateTask], rules: Sequence[Any]) -> list[FileResult]:
    """Run the gates on every proposal in worker processes; return the results in order."""
    results = in_processes(
        run_gates_batch,
        list(rules),
        [[task] for task in tasks],
        settings().ingestion.processes,
        lost=lost_gate_task,
        stall=settings().generation.timeout,
    )
    by_position = dict(results)
    return [by_position[task.position] for task in tasks]
