"""Asking generators, each on its own: one that crashes, hangs or fails harms no other.

Belongs here: worker processes for those that are isolated, threads and circuit breakers for
those that call something remote, and the account of every attempt.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import validation
from qflow_dagster.generation.generators import NoUse, Proposal, Request, generators
from qflow_dagster.generation.validation import Gate
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpen, through_breaker
from qflow_dagster.processes import Lost, in_processes
from qflow_dagster.settings import settings

logger = logging.getLogger(__name__)
# The generators that may be asked for findings of a rule.
Choose = Callable[[Rule], Set[str]]


class Ask(NamedTuple):
    """One generator asked for one item (its position)."""

    item: int
    generator: str
    request: Request


class Attempt(NamedTuple):
    """How that went: `outcome` is proposed, nothing, failed or refused."""

    ask: Ask
    outcome: str
    proposals: list[Proposal]
    problem: str | None
    seconds: float
    # Tokens and cost, whatever came of it.
    usage: Mapping[str, Any] = {}

    @property
    def input_digest(self) -> bytes:
        """SHA-256 of what was asked."""
        r = self.ask.request
        words = "\x1f".join((r.base, r.path, r.rule.id, str(r.rule.version), r.text))
        return hashlib.sha256(words.encode()).digest()


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
                ask_batch, None, isolated, settings().ingestion.processes, lost=_lost_ask,
                stall=settings().generation.timeout,
            )
        )  # fmt: skip
        return [*attempts, *(future.result() for future in waiting)]


def ask_batch(context: None, batch: list[Ask]) -> Attempt:
    """In a worker process: one generator, asked once (batches are of one)."""
    return _ask(batch[0])


def _ask(ask: Ask) -> Attempt:
    started = time.monotonic()
    usage: Mapping[str, Any] = {}
    try:
        answers = list(generators()[ask.generator].generate(ask.request))
    # A generator may be anybody's: whatever it raises is its own failure.
    except Exception as error:
        words = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}: {error}"
        if isinstance(error, NoUse):
            usage = error.usage
        return Attempt(ask, "failed", [], words[:1_000], time.monotonic() - started, usage)
    proposals = [answer for answer in answers if answer.contents]
    # The first of several proposals carries what all of them cost.
    usage = answers[0].usage if answers else usage
    outcome = "proposed" if proposals else "nothing"
    return Attempt(ask, outcome, proposals, None, time.monotonic() - started, usage)


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
            attempt = _ask(ask)
            spending.add(attempt)
            if attempt.outcome == "failed":
                raise _Failed(attempt)
            return attempt
    except _Failed as failed:
        return failed.attempt
    except CircuitOpen as error:
        return Attempt(ask, "refused", [], str(error), 0.0)


class _Failed(QflowError):  # noqa: N818
    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        super().__init__(attempt.problem or "failed")


def _lost_ask(ask: Ask, code: int | None) -> Lost:
    words = "it did not answer in time" if code is None or code == -9 else f"it ended with code {code}"
    return Lost(result=Attempt(ask, "failed", [], words, float(settings().generation.timeout)))


class Question(NamedTuple):
    """A change to be judged: which candidate (its position), the request, the new contents."""

    candidate: int
    request: Request
    after: dict[str, str]


def judge_all(questions: Sequence[Question], rules: Sequence[Any]) -> dict[int, list[Gate]]:
    """Put every change to the gates, in worker processes; the gates' answers by candidate."""
    results = in_processes(
        judge_batch, list(rules), [[question] for question in questions], settings().ingestion.processes,
        lost=_lost_question, stall=settings().generation.timeout,
    )  # fmt: skip
    return dict(results)


def judge_batch(rules: list[Any], batch: list[Question]) -> tuple[int, list[Gate]]:
    """In a worker process: the gates on one change."""
    question = batch[0]
    return question.candidate, validation.judge(question.request, question.after, rules)


def _lost_question(question: Question, code: int | None) -> Lost:
    gate = Gate("parses", "failed", f"what reads it ended with code {code}", 0.0)
    return Lost(result=(question.candidate, [gate]))
