"""Calls of generators and runs of gates, in worker processes.

Belongs here: what a worker does with one task, and the result of a task that kills its worker. Does
not belong here: which tasks (`proposing`), generators (`generators`), gates (`validation`).

Workers import only this: without a database driver they start in a third of the time.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.generation import preconditions, validation
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.generators.protocol import NotApplicableError, Proposal, Request, Withheld
from qflow_dagster.generation.validation import FileResult, Gate
from qflow_dagster.processes import LostResult
from qflow_dagster.settings import settings


class GeneratorCall(NamedTuple):
    """The call of one generator for one item (its position in the batch)."""

    item: int
    generator: str
    request: Request


class Attempt(NamedTuple):
    """The result of a call: `outcome` is proposed, nothing, failed or refused."""

    call: GeneratorCall
    outcome: str
    proposals: list[Proposal]
    problem: str | None
    seconds: float
    # Tokens and cost, whatever the outcome.
    usage: Mapping[str, Any] = {}
    withheld: tuple[Withheld, ...] = ()

    @property
    def input_digest(self) -> bytes:
        """Return the SHA-256 of the call's input."""
        r = self.call.request
        fields = "\x1f".join((r.base, r.path, r.rule.id, str(r.rule.version), r.text))
        return hashlib.sha256(fields.encode()).digest()


def call_batch(context: None, batch: list[GeneratorCall]) -> Attempt:
    """Call one generator (in a worker process; batches are of one)."""
    return call_generator(batch[0])


def call_generator(call: GeneratorCall) -> Attempt:
    """Call a generator; whatever it raises becomes a failed attempt."""
    started = time.monotonic()
    usage: Mapping[str, Any] = {}
    try:
        answers = list(generators()[call.generator].generate(call.request))
    # A generator may come from any package: whatever it raises is its own failure.
    except Exception as error:
        problem = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}: {error}"
        if isinstance(error, NotApplicableError):
            usage = error.usage
        return Attempt(call, "failed", [], problem[:1_000], time.monotonic() - started, usage)
    proposals = [answer for answer in answers if answer.contents]
    # The first of several proposals carries what all of them cost.
    usage = answers[0].usage if answers else usage
    outcome = "proposed" if proposals else "nothing"
    withheld = tuple(location for answer in answers for location in answer.withheld)
    return Attempt(call, outcome, proposals, None, time.monotonic() - started, usage, withheld)


def lost_call(call: GeneratorCall, code: int | None) -> LostResult:
    """Return a failed attempt for a call that killed its worker."""
    problem = "it did not answer in time" if code is None or code == -9 else f"it ended with code {code}"
    return LostResult(result=Attempt(call, "failed", [], problem, float(settings().generation.timeout)))


class GateTask(NamedTuple):
    """A proposal to run the gates on, and its position among the tasks."""

    position: int
    request: Request
    proposal: Proposal


def run_gates_batch(rules: list[Any], batch: list[GateTask]) -> tuple[int, FileResult]:
    """Run the gates on one proposal (in a worker process)."""
    task = batch[0]
    return task.position, validation.validate(task.request, task.proposal, rules)


def lost_gate_task(task: GateTask, code: int | None) -> LostResult:
    """Return a failed gate for a change that killed its worker."""
    gate = Gate("parses", "failed", f"its parser ended with code {code}", 0.0)
    after = task.proposal.contents.get(task.request.path, "")
    return LostResult(result=(task.position, FileResult(after, (), [gate], ())))


def wanted_types_batch(context: None, batch: list[tuple[int, Request]]) -> tuple[int, set[tuple[int, int]]]:
    """Return the expressions whose types one request needs (in a worker process)."""
    position, request = batch[0]
    return position, preconditions.wanted_types(request)


def lost_types(task: tuple[int, Request], code: int | None) -> LostResult:
    """Return no expression for a file that killed its worker: its types are not known."""
    return LostResult(result=(task[0], set()))
