"""One work item, or one patch, at a time: what an assignment or a phase of a goal requires.

Belongs here: doing on request what the orchestrator does in batches. Does not belong here:
suggesting candidates (its callers).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.matchers import Edit
from qflow_dagster.evolution.python_targets import python_targets
from qflow_dagster.generation import candidate_records, item_requests, orchestrator, patches, surroundings
from qflow_dagster.generation.assembling import NO_LIMITS, Slot
from qflow_dagster.generation.candidates import Candidate, FileChange
from qflow_dagster.generation.generators.protocol import Fix, Request
from qflow_dagster.generation.patches import PatchRefusedError
from qflow_dagster.generation.proposing import Choose, call_generators, run_gates
from qflow_dagster.generation.repository_gates import Batch
from qflow_dagster.generation.suite_gate import Suite
from qflow_dagster.generation.validation import FileResult, Gate
from qflow_dagster.generation.workers import GateTask
from qflow_dagster.ingestion import checkouts, languages, repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.settings import settings


def propose(engine: Engine, work_item: UUID, generator: str) -> list[dict[str, Any]]:
    """Return the patches of one generator for a work item, each with the results of the gates that read files.

    Raises:
        QflowError: the item has no rule and file, or the generator does not fit or failed.
    """
    objects, snapshot, request = _request(engine, work_item)
    with Batch(engine, objects, snapshot) as batch:
        [request] = surroundings.look_up(batch, [request])
    with engine.connect() as connection:
        rules = orchestrator.gating_rules(connection)
    attempts = [
        attempt
        for attempt in call_generators(engine, [request], lambda rule: {generator})
        if attempt.call.generator == generator
    ]
    if not attempts:
        raise QflowError(f"{generator} has nothing to propose for {request.rule.id}")
    if attempts[0].problem:
        raise QflowError(f"{generator}: {attempts[0].problem}")
    tasks = [GateTask(number, request, proposal) for number, proposal in enumerate(attempts[0].proposals)]
    results = []
    for result in run_gates(tasks, rules):
        content = request.file_with(result.after).encode()
        patch = patches.make(objects, request.base, {request.path: content})
        results.append(
            {"base": request.base, "patch": patch.text, "gates": [_plain(gate) for gate in result.gates]}
        )
    return results


def try_item(
    engine: Engine, work_item: UUID, choose: Choose, *, lines: Sequence[int] | None = None
) -> orchestrator.Generated:
    """Call the chosen generators for a work item, run all gates on their proposals, and store the results.

    `lines`: only for the findings in these lines.

    Raises:
        QflowError: the item has no rule and file.
    """
    return try_items(engine, [work_item], choose, lambda rule: NO_LIMITS, lines=lines)


def try_items(
    engine: Engine,
    work_items: Sequence[UUID],
    choose: Choose,
    limits_of: orchestrator.LimitsOf,
    *,
    digest: bytes | None = None,
    lines: Sequence[int] | None = None,
) -> orchestrator.Generated:
    """Generate one change for work items of one rule, as `try_item`; `digest` selects a version of the rule.

    Raises:
        QflowError: an item has no rule and file.
    """
    requests = [_request(engine, item, digest) for item in work_items]
    objects, snapshot, _ = requests[0]
    slots = [
        Slot(item, request if lines is None else _within(request, lines))
        for item, (_, _, request) in zip(work_items, requests, strict=True)
    ]
    [generated] = orchestrator.generate(
        engine, objects, snapshot, [slots], choose, limits_of, lambda stage, done, total: None
    )
    with engine.begin() as connection:
        candidate_records.store(
            connection,
            snapshot.repository_id,
            {slot.request.path: slot.work_item_id for slot in slots},
            generated.attempts,
            generated.candidates,
        )
        candidate_records.store_withheld(connection, snapshot, generated.withheld)
    return generated


def _request(engine: Engine, work_item: UUID, digest: bytes | None = None) -> tuple[Path, Snapshot, Request]:
    with engine.begin() as connection:
        name = item_requests.repository_of(connection, work_item)
        objects = repositories.find(connection, name).objects
        snapshot = current_snapshot(connection, name)
        targets = python_targets(objects, snapshot, connection)
        request, problem = item_requests.request_for(
            connection, objects, snapshot, work_item, targets, digest=digest
        )
    if request is None:
        raise QflowError(f"{problem}: {work_item}")
    return objects, snapshot, request


def _within(request: Request, lines: Sequence[int]) -> Request:
    return replace(request, findings=tuple(found for found in request.findings if found[0] in lines))


def restore(connection: Connection, candidate_id: UUID) -> Candidate:
    """Return a stored candidate as it was when it passed its gates.

    Raises:
        QflowError: there is no such candidate, or the repository has moved on since.
    """
    row = candidate_records.get(connection, candidate_id)
    name = item_requests.repository_of(connection, row["work_item_id"])
    objects = repositories.find(connection, name).objects
    snapshot = current_snapshot(connection, name)
    if snapshot.commit_oid != row["base_commit"]:
        raise QflowError(f"{name} has moved on from {row['base_commit'][:10]} to {snapshot.commit_oid[:10]}")
    targets = python_targets(objects, snapshot, connection)
    patch = patches.read(row["patch"])
    with checkouts.scratch(objects) as store:
        after = patches.contents(store, patches.apply(store, row["base_commit"], patch), patch.paths)
    files = []
    for id_ in row["work_items"]:
        request, problem = item_requests.request_for(
            connection, objects, snapshot, id_, targets, digest=bytes(row["rule_digest"])
        )
        if request is None:
            raise QflowError(f"{problem}: {id_}")
        fixes = tuple(
            Fix(location["line"], location["end_line"], tuple(Edit(*edit) for edit in location["edits"]))
            for location in row["locations"]
            if location["path"] == request.path
        )
        text = request.text_of(after[request.path].decode()) or ""
        files.append(FileChange(id_, request, FileResult(text, fixes, [], ())))
    gates = [Gate(*gate.values()) for gate in candidate_records.gates_of(connection, candidate_id)]
    return Candidate(
        row["repository_id"],
        name,
        row["base_commit"],
        patch,
        files,
        row["sources"],
        row["score"],
        gates,
        row["status"],
        id=candidate_id,
    )


def check_patch(engine: Engine, repository: str, text: str) -> dict[str, Any]:
    """Return what the gates say of any patch on the current commit: it applies, it parses, the tests pass."""
    with engine.connect() as connection:
        objects = repositories.find(connection, repository).objects
        snapshot = current_snapshot(connection, repository)
    try:
        patch = patches.read(text)
        with checkouts.scratch(objects) as store:
            tree = patches.apply(store, snapshot.commit_oid, patch)
            after = patches.contents(store, tree, patch.paths)
            before = patches.contents(store, snapshot.commit_oid, patch.paths)
    except PatchRefusedError as refused:
        return _verdict(snapshot.commit_oid, [Gate("applies", "failed", str(refused), 0.0)])
    gates = [Gate("applies", "passed", f"to {snapshot.commit_oid[:10]}", 0.0)]
    files = [(path, before[path], after[path]) for path in patch.paths]
    worse = [
        path
        for batch in in_processes(parse_batch, None, [files], settings().ingestion.processes, lost=_lost)
        for path in batch
    ]
    gates.append(
        Gate("parses", "failed" if worse else "passed", ", ".join(worse) or "no new syntax errors", 0.0)
    )
    if not worse:
        gates.append(Suite(engine, objects, snapshot).check(patch))
    return _verdict(snapshot.commit_oid, gates)


def parse_batch(context: None, batch: list[tuple[str, bytes, bytes]]) -> list[str]:
    """Return the files that have more syntax errors after than before (in a worker process)."""
    from qflow_dagster.ingestion.extraction import extract

    worse = []
    for path, before, after in batch:
        language = languages.detect(path, after[:4096])
        if extract(after, language).parse_error_count > extract(before, language).parse_error_count:
            worse.append(path)
    return worse


def _lost(task: tuple[str, bytes, bytes], code: int | None) -> LostResult:
    return LostResult(result=[task[0]])


def _plain(gate: Gate) -> dict[str, Any]:
    return {"gate": gate.name, "verdict": gate.verdict, "evidence": gate.evidence}


def _verdict(base: str, gates: list[Gate]) -> dict[str, Any]:
    passed = all(gate.verdict != "failed" for gate in gates)
    return {"base": base, "passed": passed, "gates": [_plain(gate) for gate in gates]}
