"""Asking generators, each on its own: one that crashes, hangs or fails harms no other.

Belongs here: handing those that are isolated to worker processes (`workers`), threads and circuit
breakers for those that call something remote.
"""

import threading
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.validation import Gate
from qflow_dagster.generation.workers import (
    Ask,
    Attempt,
    Question,
    ask_batch,
    ask_one,
    judge_batch,
    lost_ask,
    lost_question,
)
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpenError, through_breaker
from qflow_dagster.processes import in_processes
from qflow_dagster.settings import settings

# The generators that may be asked for findings of a rule.
Choose = Callable[[Rule], Set[str]]


def ask_all(engine: Engine, requests: Sequence[Request], choose: Choose | None = None) -> list[Attempt]:
    """Ask every generator that fits, for every request; of a rule, only those that `choose` names."""
    asks = [
        Ask(number, name, request)
        for number, request in enumerate(requests)
        for name, generator in generators().items()
        if generator.fits(request.rule, request.language) and (choose is None or name in choose(request.rule))
    ]
    known = generators()
    isolated = [[ask] for ask in asks if known[ask.generator].isolated]
    remote = [ask for ask in asks if not known[ask.generator].isolated]
    spending = Spending(engine)
    with ThreadPoolExecutor(max_workers=4) as threads:
        waiting = [threads.submit(_ask_remote, engine, ask, spending) for ask in remote]
        attempts = list(
            in_processes(
                ask_batch,
                None,
                isolated,
                settings().ingestion.processes,
                lost=lost_ask,
                stall=settings().generation.timeout,
            )
        )
        return [*attempts, *(future.result() for future in waiting)]


class Spending:
    """What a day's requests cost: those on record, and those of this batch, which are not yet."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._here: dict[str, float] = {}

    def of(self, generator: str) -> float:
        """The cost of a generator in the last 24 hours."""
        spent = text("""
            SELECT coalesce(sum(cost), 0) FROM generation_attempts
            WHERE generator = :generator AND at > clock_timestamp() - interval '1 day'
        """)
        with self.engine.connect() as connection:
            recorded = connection.scalar(spent, {"generator": generator}) or 0.0
        with self._lock:
            return recorded + self._here.get(generator, 0.0)

    def add(self, attempt: Attempt) -> None:
        """Count what an attempt cost."""
        name = attempt.ask.generator
        with self._lock:
            self._here[name] = self._here.get(name, 0.0) + float(attempt.usage.get("cost", 0.0))


def _ask_remote(engine: Engine, ask: Ask, spending: Spending) -> Attempt:
    if spending.of(ask.generator) >= settings().model.budget:
        problem = f"the day's budget of {settings().model.budget} is spent"
        return Attempt(ask, "refused", [], problem, 0.0)

    try:
        with through_breaker(engine, f"generator.{ask.generator}"):
            attempt = ask_one(ask)
            spending.add(attempt)
            if attempt.outcome == "failed":
                raise _GeneratorFailedError(attempt)
            return attempt
    except _GeneratorFailedError as failed:
        return failed.attempt
    except CircuitOpenError as error:
        return Attempt(ask, "refused", [], str(error), 0.0)


class _GeneratorFailedError(QflowError):
    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        super().__init__(attempt.problem or "failed")


def judge_all(questions: Sequence[Question], rules: Sequence[Any]) -> dict[int, list[Gate]]:
    """Put every change to the gates, in worker processes; the gates' answers by candidate."""
    results = in_processes(
        judge_batch,
        list(rules),
        [[question] for question in questions],
        settings().ingestion.processes,
        lost=lost_question,
        stall=settings().generation.timeout,
    )
    return dict(results)
