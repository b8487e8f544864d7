"""The generation orchestrator: work items in, validated candidates out, in batches.

Belongs here: the order of steps for a batch of items, and what is stored of it. Does not
belong here: generators (`generators`, `proposing`), gates (`validation`, `suite_gate`), what
happens to the best candidate (the caller's `accept`).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import rule_set, trust
from qflow_dagster.evolution.rule_engine import python_target
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.execution import next_work, work_items
from qflow_dagster.generation import candidate_records, item_requests, patches, suite_gate
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.generators import fixable_rules
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.proposing import Choose, call_generators, run_gates
from qflow_dagster.generation.validation import Gate
from qflow_dagster.generation.workers import Attempt, GateTask
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.progress import ReportProgress
from qflow_dagster.quantumflow import (
    LeaseLostError,
    NewWorkflow,
    Workflow,
    claim,
    complete,
    create_workflows,
    fail,
    register,
)
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.tables import workflows as workflow_table
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.safety import logs

TYPE = register(WorkflowTypeName.GENERATION).name
ACTOR = "generation orchestrator"

logger = logs.logger(__name__)
Accept = Callable[[Connection, Candidate], None]


class Item(NamedTuple):
    """A claimed generation and its request; without a request, the problem says why."""

    workflow: Workflow
    work_item_id: UUID
    request: Request | None
    problem: str = ""


class Summary(NamedTuple):
    """The result of a batch: items, candidates generated, items with a candidate that passed, items without one."""

    items: int
    candidates: int
    passed: int
    without_candidate: int


def request_generation(connection: Connection, snapshot: Snapshot, *, limit: int) -> list[UUID]:
    """Request changes of the `limit` best items not tried on this commit yet; move them to in_progress.

    Findings of rules that may only show are skipped.
    """
    levels = trust.of_rules(connection, evaluated(rule_set.current(connection)))
    rules = sorted({level.rule.id for level in levels.values() if level.level != "show"})
    ids = next_work.get_generatable(
        connection,
        snapshot.repository_id,
        snapshot.commit_oid,
        rules=rules,
        limit=limit,
        fixable_rules=fixable_rules(),
    )
    new = [
        NewWorkflow(
            type=TYPE,
            key=f"{id_}:{snapshot.commit_oid}",
            payload={
                "work_item": str(id_),
                "repository": snapshot.repository,
                "base": snapshot.commit_oid,
            },
        )
        for id_ in ids
    ]
    create_workflows(connection, new, actor=ACTOR)
    work_items.move(connection, ids, "in_progress", actor=ACTOR)
    return ids


def work(
    engine: Engine,
    *,
    worker: str,
    accept: Accept,
    run_id: str | None = None,
    limit: int = 10,
    progress: ReportProgress | None = None,
    choose: Choose | None = None,
) -> Summary:
    """Claim up to `limit` requested generations, carry them out, and pass the best candidate of each to `accept`.

    `accept` is called in the transaction that completes the generation. `choose` selects the
    generators for a rule (default: all that fit).
    """
    report = progress or (lambda stage, done, total: None)
    with engine.begin() as connection:
        claimed = claim(connection, TYPE, worker=worker, limit=limit, run_id=run_id)
    summary = Summary(0, 0, 0, 0)
    by_repository: dict[str, list[Workflow]] = {}
    for workflow in claimed:
        by_repository.setdefault(workflow.payload["repository"], []).append(workflow)
    with kept_alive(engine, claimed):
        for name, workflows in by_repository.items():
            try:
                done = _work_on(engine, name, workflows, accept, report, choose)
            except QflowError as error:
                logger.warning("%s: %s", name, error)
                with engine.begin() as connection, suppress(LeaseLostError):
                    fail(connection, workflows, [{"message": str(error)}] * len(workflows))
                done = Summary(len(workflows), 0, 0, len(workflows))
            summary = Summary(*(a + b for a, b in zip(summary, done, strict=True)))
    return summary


def gating_rules(connection: Connection) -> list[Rule]:
    """Return the rules of which a change must bring no new finding."""
    return [rule for rule in evaluated(rule_set.current(connection)) if rule.matcher.metric is None]


def _work_on(
    engine: Engine,
    name: str,
    workflows: Sequence[Workflow],
    accept: Accept,
    report: ReportProgress,
    choose: Choose | None,
) -> Summary:
    with engine.begin() as connection:
        objects = repositories.find(connection, name).objects
        snapshot = current_snapshot(connection, name)
        target = python_target(objects, snapshot, connection)
        items = [_item(connection, objects, snapshot, workflow, target) for workflow in workflows]
        estimates = candidate_records.acceptance_estimates(connection)
        rules = gating_rules(connection)
    requested = [item for item in items if item.request is not None]
    report("generating changes", 0, len(requested))
    attempts = call_generators(
        engine, [item.request for item in requested if item.request is not None], choose
    )
    report("generating changes", len(requested), len(requested))
    candidates = candidates_of(
        objects, snapshot, [item.work_item_id for item in requested], attempts, estimates
    )
    run_file_gates(engine, candidates, rules, report)
    best = best_of(engine, objects, snapshot, candidates, report)
    passed = 0
    for item in items:
        own_candidates = [
            candidate for candidate in candidates if candidate.work_item_id == item.work_item_id
        ]
        chosen = best.get(item.work_item_id)
        own_attempts = [attempt for attempt in attempts if requested[attempt.call.item] is item]
        try:
            with engine.begin() as connection:
                _store(connection, snapshot, item, own_attempts, own_candidates, chosen, accept)
        except LeaseLostError:
            # Another worker holds it by now; its results are stored instead.
            logger.warning("the generation for %s took longer than its lease", item.work_item_id)
            continue
        passed += chosen is not None
    return Summary(len(items), len(candidates), passed, len(items) - passed)


def _item(connection: Connection, objects: Path, snapshot: Snapshot, workflow: Workflow, target: str) -> Item:
    work_item_id = UUID(workflow.payload["work_item"])
    if workflow.payload["base"] != snapshot.commit_oid:
        return Item(workflow, work_item_id, None, "the repository has moved on: it is requested again")
    return Item(
        workflow,
        work_item_id,
        *item_requests.request_for(connection, objects, snapshot, work_item_id, target),
    )


def candidates_of(
    objects: Path,
    snapshot: Snapshot,
    work_items_by_position: Sequence[UUID],
    attempts: Sequence[Attempt],
    estimates: Callable[[str, str, float], float],
) -> list[Candidate]:
    """Return the patches of all proposals for these work items; equal ones of one item become one with all sources."""
    by_digest: dict[tuple[UUID, bytes], Candidate] = {}
    for attempt in attempts:
        item = work_items_by_position[attempt.call.item]
        request = attempt.call.request
        for proposal in attempt.proposals:
            try:
                contents = {path: content.encode() for path, content in proposal.contents.items()}
                patch = patches.make(objects, request.base, contents)
            except QflowError as error:
                logger.info("%s on %s: %s", attempt.call.generator, request.path, error)
                continue
            estimate = estimates(request.rule.id, attempt.call.generator, request.rule.confidence)
            existing = by_digest.get((item, patch.digest))
            if existing is not None:
                existing.sources.append(attempt.call.generator)
                existing.score = max(existing.score, estimate)
                continue
            by_digest[item, patch.digest] = Candidate(
                item,
                snapshot.repository_id,
                snapshot.repository,
                request.base,
                patch,
                request,
                dict(proposal.contents),
                [attempt.call.generator],
                estimate,
            )
    return list(by_digest.values())


def run_file_gates(
    engine: Engine, candidates: Sequence[Candidate], rules: Sequence[Rule], report: ReportProgress
) -> None:
    """Run the gates that read files alone; stored results of a patch are reused."""
    with engine.connect() as connection:
        for candidate in candidates:
            candidate.gates = candidate_records.stored_gates(connection, candidate)
    tasks = [
        GateTask(number, candidate.request, candidate.after)
        for number, candidate in enumerate(candidates)
        if not candidate.gates
    ]
    report("validating changes", 0, len(tasks))
    for number, gates in run_gates(tasks, rules).items():
        candidates[number].gates = [Gate("applies", "passed", "made from the commit", 0.0), *gates]
    report("validating changes", len(tasks), len(tasks))


def best_of(
    engine: Engine, objects: Path, snapshot: Snapshot, candidates: Sequence[Candidate], report: ReportProgress
) -> dict[UUID, Candidate]:
    """Return the best candidate of each item that also passes the tests: by expected acceptance, then by size."""
    viable: dict[UUID, list[Candidate]] = {}
    for candidate in candidates:
        candidate.status = "not_needed" if candidate.viable else "failed"
        if candidate.viable:
            viable.setdefault(candidate.work_item_id, []).append(candidate)
    suite = suite_gate.Suite(engine, objects, snapshot)
    done = 0
    report("testing changes", 0, len(viable))

    def first_that_passes(candidates_of_item: list[Candidate]) -> Candidate | None:
        for candidate in sorted(candidates_of_item, key=lambda c: (-c.score, c.patch.lines)):
            if not any(gate.name == suite_gate.NAME for gate in candidate.gates):
                candidate.gates.append(suite.check(candidate.patch))
            if candidate.viable:
                candidate.status = "passed"
                return candidate
            candidate.status = "failed"
        return None

    best: dict[UUID, Candidate] = {}
    # Each has a checkout and processes of its own; two at a time keep the machine usable.
    with ThreadPoolExecutor(max_workers=2) as threads:
        for item, chosen in zip(viable, threads.map(first_that_passes, viable.values()), strict=True):
            if chosen is not None:
                best[item] = chosen
            done += 1
            report("testing changes", done, len(viable))
    return best


def _store(
    connection: Connection,
    snapshot: Snapshot,
    item: Item,
    attempts: Sequence[Attempt],
    candidates: Sequence[Candidate],
    chosen: Candidate | None,
    accept: Accept,
) -> None:
    candidate_records.store(connection, snapshot.repository_id, item.work_item_id, attempts, candidates)
    result: dict[str, Any] = {
        "candidates": len(candidates),
        "chosen": chosen and str(chosen.id),
        "problem": item.problem or None,
    }
    complete(connection, [item.workflow], [result])
    if chosen is not None:
        accept(connection, chosen)
        return
    failures = sorted(
        {gate.name for candidate in candidates for gate in candidate.gates if gate.verdict == "failed"}
    )
    reason = item.problem or (
        f"no candidate passed: {', '.join(failures)}" if candidates else "nothing was proposed"
    )
    # A person may have finished or cancelled the item in the meantime.
    query = select(workflow_table.c.status).where(workflow_table.c.id == item.work_item_id).with_for_update()
    if connection.scalar(query) == "in_progress":
        work_items.move(connection, [item.work_item_id], "backlog", actor=ACTOR, data={"reason": reason})
