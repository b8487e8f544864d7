"""The gate `behaviour`: changed Python functions do the same as before, on generated inputs.

Belongs here: what is compared, and the verdict. Does not belong here: inputs (`behaviour_inputs`), the calls
themselves, which happen inside the sandbox (`behaviour_driver`).
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from qflow_dagster import sandbox
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates import behaviour_driver
from qflow_dagster.generation.repository_gates.behaviour_inputs import CallPlan, InputTask, plan_batch
from qflow_dagster.generation.repository_gates.protocol import Batch, Result
from qflow_dagster.generation.validation import Gate
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.settings import settings

NAME = "behaviour"
DRIVER, JOBS = ".qflow-behaviour.py", ".qflow-behaviour.json"
MAX_NAMED = 5


class _Changed(NamedTuple):
    """A function that a candidate changes: its path, and how to call it."""

    path: str
    function: CallPlan


def check(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Result]:
    """Compare every changed function before and after each candidate, in the sandbox."""
    seconds = settings().generation.behaviour_seconds
    if seconds == 0:
        return _skipped(candidates, "QFLOW_GENERATION_BEHAVIOUR_SECONDS is 0")
    started = time.monotonic()
    changed = _changed_functions(
        [candidate for candidate in candidates if not candidate.request.rule.differs]
    )
    to_call = [
        candidate for candidate in candidates if any(f.function.inputs for f in changed.get(candidate.id, ()))
    ]
    outcomes: Mapping[UUID, list[dict[str, Any]]] = {}
    problem = ""
    if to_call:
        try:
            outcomes = _called(batch, to_call, changed, seconds)
        except sandbox.NotIsolatedError as error:
            problem = str(error)
        else:
            problem = "" if outcomes else "its program was ended before it reported"
    # What one run costs is shared by the candidates of the batch.
    each = (time.monotonic() - started) / max(1, len(candidates))
    results = {}
    for candidate in candidates:
        differs = candidate.request.rule.differs
        if differs:
            reason = f"the fix of a bug, which changes behaviour on purpose: {differs}"
            results[candidate.id] = Result(Gate(NAME, "not applicable", reason, each))
            continue
        functions = changed[candidate.id]
        if not functions:
            evidence = "only Python functions are compared"
            results[candidate.id] = Result(Gate(NAME, "not applicable", evidence, each))
            continue
        reported = iter(outcomes.get(candidate.id, []))
        compared = [
            (
                item,
                next(reported, {"reason": problem})
                if item.function.inputs
                else {"reason": item.function.reason},
            )
            for item in functions
        ]
        results[candidate.id] = _verdict(compared, each)
    return results


def _changed_functions(candidates: Sequence[Candidate]) -> dict[UUID, list[_Changed]]:
    tasks: list[InputTask] = []
    owners: list[tuple[UUID, str]] = []
    for candidate in candidates:
        for file in candidate.files:
            lines = tuple(fix.line for fix in file.result.fixes) or tuple(
                line for line, _ in file.request.findings
            )
            if file.request.language == "python" and lines:
                tasks.append(InputTask(len(tasks), file.request.text, lines))
                owners.append((candidate.id, file.request.path))
    changed: dict[UUID, list[_Changed]] = {candidate.id: [] for candidate in candidates}
    batches = [[task] for task in tasks]
    for position, functions in in_processes(
        plan_batch,
        None,
        batches,
        settings().ingestion.processes,
        lost=_lost,
        stall=settings().generation.timeout,
    ):
        id_, path = owners[position]
        changed[id_] += [_Changed(path, function) for function in functions]
    return changed


def _lost(task: InputTask, code: int | None) -> LostResult:
    reason = f"its parser ended with code {code}"
    return LostResult(result=(task.position, [CallPlan("", "", task.lines, (), reason)]))


def _called(
    batch: Batch, candidates: Sequence[Candidate], changed: Mapping[UUID, list[_Changed]], seconds: float
) -> dict[UUID, list[dict[str, Any]]]:
    """Run the driver on a checkout; return the outcome of each function with inputs, by candidate."""
    jobs = []
    for candidate in candidates:
        functions = [item for item in changed[candidate.id] if item.function.inputs]
        jobs.append(
            {
                "files": candidate.after,
                "seconds": seconds * len(functions),
                "functions": [
                    {
                        "path": item.path,
                        "name": item.function.name,
                        "kind": item.function.kind,
                        "typed": item.function.typed,
                        "inputs": item.function.inputs,
                    }
                    for item in functions
                ],
            }
        )
    configured = settings().generation
    limits = sandbox.Limits(
        seconds=sum(job["seconds"] for job in jobs) + 30,
        memory=configured.test_memory * 1_000_000,
        processes=configured.test_processes,
        disk=configured.test_disk * 1_000_000,
    )
    with batch.checkout() as folder:
        shutil.copyfile(Path(behaviour_driver.__file__), folder / DRIVER)
        (folder / JOBS).write_text(json.dumps(jobs))
        packages = batch.environments.of("python").packages
        ran = sandbox.run(["python3", "-B", DRIVER, JOBS], folder, limits=limits, packages=packages)
    _, mark, report = ran.output.rpartition(behaviour_driver.MARK)
    try:
        outcomes = json.loads(report.splitlines()[0]) if mark else []
    except (ValueError, IndexError):
        outcomes = []
    return {candidate.id: outcome for candidate, outcome in zip(candidates, outcomes, strict=False)}


def _verdict(compared: Sequence[tuple[_Changed, Mapping[str, Any]]], seconds: float) -> Result:
    different = [(item, outcome["different"]) for item, outcome in compared if outcome.get("different")]
    if different:
        item, (text, before, after) = different[0]
        evidence = f"{item.function.name}{text}: {after}; before: {before}"
        blamed = {
            (item.path, line): f"{NAME}: {item.function.name}{text}: {after}; before: {before}"[:1_000]
            for item, (text, before, after) in different
            for line in item.function.lines
        }
        return Result(Gate(NAME, "failed", evidence[:2_000], seconds), blamed)
    called = [(item, outcome) for item, outcome in compared if outcome.get("compared")]
    parts = [f"{item.function.name}: {outcome['compared']} inputs, as before" for item, outcome in called]
    parts += [
        f"{item.function.name or item.path}: not called: {outcome.get('reason') or 'no report'}"
        for item, outcome in compared
        if not outcome.get("compared")
    ]
    evidence = "; ".join(parts[:MAX_NAMED]) + (
        f"; {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    )
    verdict = "passed" if len(called) == len(compared) else "skipped"
    return Result(Gate(NAME, verdict, evidence, seconds))


def _skipped(candidates: Sequence[Candidate], reason: str) -> dict[UUID, Result]:
    return {candidate.id: Result(Gate(NAME, "skipped", reason, 0.0)) for candidate in candidates}
