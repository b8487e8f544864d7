"""Asking generators and judging what they propose, in worker processes.

Belongs here: what a worker does with one question, and what becomes of one it does not survive. Does
not belong here: which questions (`proposing`), generators (`generators`), gates (`validation`).

A worker imports this, and starts in a third of the time without a database driver.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.generation import validation
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.generators.protocol import NotApplicableError, Proposal, Request
from qflow_dagster.generation.validation import Gate
from qflow_dagster.processes import Lost
from qflow_dagster.settings import settings


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


def ask_batch(context: None, batch: list[Ask]) -> Attempt:
    """In a worker process: one generator, asked once (batches are of one)."""
    return ask_one(batch[0])


def ask_one(ask: Ask) -> Attempt:
    """Ask, and take whatever the generator raises for its answer."""
    started = time.monotonic()
    usage: Mapping[str, Any] = {}
    try:
        answers = list(generators()[ask.generator].generate(ask.request))
    # A generator may be anybody's: whatever it raises is its own failure.
    except Exception as error:
        words = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}: {error}"
        if isinstance(error, NotApplicableError):
            usage = error.usage
        return Attempt(ask, "failed", [], words[:1_000], time.monotonic() - started, usage)
    proposals = [answer for answer in answers if answer.contents]
    # The first of several proposals carries what all of them cost.
    usage = answers[0].usage if answers else usage
    outcome = "proposed" if proposals else "nothing"
    return Attempt(ask, outcome, proposals, None, time.monotonic() - started, usage)


def lost_ask(ask: Ask, code: int | None) -> Lost:
    """A generator that does not survive what it was asked has failed."""
    words = "it did not answer in time" if code is None or code == -9 else f"it ended with code {code}"
    return Lost(result=Attempt(ask, "failed", [], words, float(settings().generation.timeout)))


class Question(NamedTuple):
    """A change to be judged: which candidate (its position), the request, the new contents."""

    candidate: int
    request: Request
    after: dict[str, str]


def judge_batch(rules: list[Any], batch: list[Question]) -> tuple[int, list[Gate]]:
    """In a worker process: the gates on one change."""
    question = batch[0]
    return question.candidate, validation.judge(question.request, question.after, rules)


def lost_question(question: Question, code: int | None) -> Lost:
    """A change that its judge does not survive is none."""
    gate = Gate("parses", "failed", f"what reads it ended with code {code}", 0.0)
    return Lost(result=(question.candidate, [gate]))
