"""The generation orchestrator: work items in, validated candidates out, in batches.

Belongs here: the order of steps for a batch of items, and what is stored of it. Does not
belong here: generators (`generators`, `proposing`), gates (`validation`, `repository_gates`), the choice
among the candidates (`choosing`), what happens to the best (the caller's `accept`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import rule_set
from qflow_dagster.evolution.python_targets import PythonTargets, python_targets
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.execution import work_items
from qflow_dagster.generation import (
    candidate_records,
    choosing,
    groups,
    item_requests,
    repository_gates,
    suite_gate,
    surroundings,
)
from qflow_dagster.generation.assembling import (
    NO_LIMITS,
    Limits,
    Slot,
    Validated,
    assemble,
    withheld_locations,
)
from qflow_dagster.generation.candidates import Candidate, FileChange, WithheldLocation
from qflow_dagster.generation.environments import Environments
from qflow_dagster.generation.proposing import Choose, call_generators, run_gates
from qflow_dagster.generation.workers import Attempt, GateTask
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.progress import ReportProgress
from qflow_dagster.quantumflow import LeaseLostError, Workflow, claim, complete, fail, register, uuid7
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.tables import workflows as workflow_table
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.safety import logs

TYPE = register(WorkflowTypeName.GENERATION).name
ACTOR = "generation orchestrator"

logger = logs.logger(__name__)
Accept = Callable[[Connection, Candidate], None]
# Returns how large a change of a rule may be.
LimitsOf = Callable[[Rule], Limits]


class Group(NamedTuple):
    """A claimed generation: the requests of its work items, and why there is none for the others."""

    workflow: Workflow
    slots: list[Slot]
    problems: dict[UUID, str]


class Summary(NamedTuple):
    """The result of a batch: changes requested, candidates generated, changes that passed, those without one."""

    items: int
    candidates: int
    passed: int
    without_candidate: int


def request_generation(connection: Connection, snapshot: Snapshot, *, limit: int) -> list[UUID]:
    """Request the `limit` best changes not tried on this commit yet; return their work items (see `groups`)."""
    return groups.request_generation(connection, snapshot, type_name=TYPE, actor=ACTOR, limit=limit)


def failures(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """Return the reasons for which generations of a Dagster run failed or made no patch, and how many did for each."""
    return groups.failures(connection, type_name=TYPE, run_id=run_id)


def work(
    engine: Engine,
    *,
    worker: str,
    accept: Accept,
    run_id: str | None = None,
    limit: int = 10,
    progress: ReportProgress | None = None,
    choose: Choose | None = None,
    limits_of: LimitsOf = lambda rule: NO_LIMITS,
) -> Summary:
    """Claim up to `limit` requested generations, carry them out, and pass the best candidate of each to `accept`.

    `accept` is called in the transaction that completes the generation. `choose` selects the
    generators for a rule (default: all that fit), `limits_of` limits the size of a change.
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
                done = _work_on(engine, name, workflows, accept, report, choose, limits_of)
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
    limits_of: LimitsOf,
) -> Summary:
    with engine.begin() as connection:
        objects = repositories.find(connection, name).objects
        snapshot = current_snapshot(connection, name)
        targets = python_targets(objects, snapshot, connection)
        claimed = [_group(connection, objects, snapshot, workflow, targets) for workflow in workflows]
    done = generate(engine, objects, snapshot, [group.slots for group in claimed], choose, limits_of, report)
    passed = 0
    for number, group in enumerate(claimed):
        try:
            with engine.begin() as connection:
                _store(connection, snapshot, group, done[number], accept)
        except LeaseLostError:
            # Another worker holds it by now; its results are stored instead.
            logger.warning("generation %s took longer than its lease", group.workflow.id)
            continue
        passed += done[number].best is not None
    return Summary(
        len(claimed), sum(len(result.candidates) for result in done), passed, len(claimed) - passed
    )


class Generated(NamedTuple):
    """What came of one group of requests: attempts, candidates with their gates, and the best that passed.

    `problems` says why no patch could be made for a work item.
    """

    attempts: list[Attempt]
    candidates: list[Candidate]
    best: Candidate | None
    withheld: list[WithheldLocation]
    problems: dict[UUID, str]


def generate(
    engine: Engine,
    objects: Path,
    snapshot: Snapshot,
    slots_by_group: Sequence[Sequence[Slot]],
    choose: Choose | None,
    limits_of: LimitsOf,
    report: ReportProgress,
) -> list[Generated]:
    """Generate, assemble and validate changes for groups of requests; store nothing."""
    environments = Environments(engine, objects, snapshot, report)
    with repository_gates.Batch(engine, objects, snapshot, environments) as batch:
        return _generate(batch, slots_by_group, choose, limits_of, report)


def _generate(
    batch: repository_gates.Batch,
    slots_by_group: Sequence[Sequence[Slot]],
    choose: Choose | None,
    limits_of: LimitsOf,
    report: ReportProgress,
) -> list[Generated]:
    engine, objects, snapshot = batch.engine, batch.objects, batch.snapshot
    with engine.begin() as connection:
        estimates = candidate_records.acceptance_estimates(connection)
        rules = gating_rules(connection)
    slots = [(number, slot) for number, group in enumerate(slots_by_group) for slot in group]
    report("generating changes", 0, len(slots))
    requests = surroundings.look_up(batch, [slot.request for _, slot in slots])
    slots = [
        (number, slot._replace(request=request))
        for (number, slot), request in zip(slots, requests, strict=True)
    ]
    attempts = call_generators(engine, [slot.request for _, slot in slots], choose)
    report("generating changes", len(slots), len(slots))
    proposals = [
        (attempt, number, proposal)
        for attempt in attempts
        for number, proposal in enumerate(attempt.proposals)
    ]
    report("validating changes", 0, len(proposals))
    results = run_gates(
        [
            GateTask(position, attempt.call.request, proposal)
            for position, (attempt, _, proposal) in enumerate(proposals)
        ],
        rules,
    )
    report("validating changes", len(proposals), len(proposals))
    per_group: list[list[Validated]] = [[] for _ in slots_by_group]
    for (attempt, number, _), result in zip(proposals, results, strict=True):
        group, slot = slots[attempt.call.item]
        per_group[group].append(
            Validated(attempt.call.generator, number, FileChange(slot.work_item_id, slot.request, result))
        )
    assembled = [assemble(objects, snapshot, validated, estimates, limits_of) for validated in per_group]
    candidates = [group for group, _ in assembled]
    report("checking changes", 0, len(candidates))
    repository_gates.run(batch, [candidate for group in candidates for candidate in group], rules)
    report("checking changes", len(candidates), len(candidates))
    best = choosing.best_of(batch, candidates, rules, report)
    generated = []
    for number in range(len(slots_by_group)):
        own = [attempt for attempt in attempts if slots[attempt.call.item][0] == number]
        withheld = withheld_locations(own, per_group[number], candidates[number], best.get(number))
        generated.append(Generated(own, candidates[number], best.get(number), withheld, assembled[number][1]))
    return generated


def _group(
    connection: Connection, objects: Path, snapshot: Snapshot, workflow: Workflow, targets: PythonTargets
) -> Group:
    slots: list[Slot] = []
    problems: dict[UUID, str] = {}
    digest: bytes | None = None
    for id_ in map(UUID, workflow.payload["work_items"]):
        if workflow.payload["base"] != snapshot.commit_oid:
            problems[id_] = "the repository has moved on: it is requested again"
            continue
        request, problem = item_requests.request_for(
            connection, objects, snapshot, id_, targets, digest=digest
        )
        if request is None:
            problems[id_] = problem
            continue
        # All files of a change are changed by the same version of the rule.
        digest = request.rule.digest
        slots.append(Slot(id_, request))
    return Group(workflow, slots, problems)


def without_locations(
    engine: Engine, candidate: Candidate, excluded: Mapping[tuple[str, int], str]
) -> Candidate:
    """Return a new candidate without these locations, each left out for a reason, after all gates; store nothing.

    Raises:
        QflowError: what is left does not pass the gates that read files.
    """
    with engine.connect() as connection:
        objects = repositories.find(connection, candidate.repository).objects
        snapshot = current_snapshot(connection, candidate.repository)
        rules = gating_rules(connection)
    smaller = dataclasses.replace(candidate, id=uuid7(), gates=candidate.gates[:1], withheld=[])
    with repository_gates.Batch(engine, objects, snapshot) as batch:
        if not repository_gates.leave_out(batch, smaller, excluded, rules):
            raise QflowError("what is left of the change does not pass the gates of its files")
        repository_gates.run(batch, [smaller], rules)
    if smaller.viable:
        suite = suite_gate.Suite(engine, objects, snapshot, batch.environments)
        smaller.gates.append(suite.check(smaller.patch))
    return smaller


def _store(
    connection: Connection, snapshot: Snapshot, group: Group, generated: Generated, accept: Accept
) -> None:
    candidates, chosen = generated.candidates, generated.best
    by_path = {slot.request.path: slot.work_item_id for slot in group.slots}
    problems = {**group.problems, **generated.problems}
    candidate_records.store(
        connection, snapshot.repository_id, by_path, generated.attempts, candidates, group.workflow.id
    )
    candidate_records.store_withheld(connection, snapshot, generated.withheld)
    result: dict[str, Any] = {
        "candidates": len(candidates),
        "chosen": chosen and str(chosen.id),
        "problem": "; ".join(sorted(set(problems.values()))) or None,
    }
    complete(connection, [group.workflow], [result])
    served = set(chosen.work_items) if chosen is not None else set()
    if chosen is not None:
        accept(connection, chosen)
    reasons = {**dict.fromkeys(by_path.values(), _reason(generated)), **problems}
    # A person may have finished or cancelled an item in the meantime.
    query = (
        select(workflow_table.c.id)
        .where(workflow_table.c.id.in_(set(reasons) - served), workflow_table.c.status == "in_progress")
        .with_for_update()
    )
    for id_ in connection.scalars(query).all():
        work_items.move(connection, [id_], "backlog", actor=ACTOR, data={"reason": reasons[id_]})


def _reason(generated: Generated) -> str:
    """Return why a work item got no change."""
    if generated.best is not None:
        return "the change was limited to other files of the package; this one is left for a further change"
    failures = sorted(
        {
            gate.name
            for candidate in generated.candidates
            for gate in candidate.gates
            if gate.verdict == "failed"
        }
    )
    if failures:
        return f"no candidate passed: {', '.join(failures)}"
    if generated.withheld:
        return f"no change is safe: {generated.withheld[0].reason}"
    return "nothing was proposed"
