"""The gate `behaviour`: changed functions of Python and JavaScript do the same as before, on generated inputs.

Belongs here: what is compared, and the verdict. Does not belong here: which functions and inputs
(`behaviour_inputs`, `behaviour_scripts`), the calls themselves, which happen inside the sandbox (`behaviour_driver`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from qflow_dagster import sandbox
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates.behaviour_inputs import CallPlan, InputTask, plan_batch
from qflow_dagster.generation.repository_gates.behaviour_scripts import plan_scripts
from qflow_dagster.generation.repository_gates.drivers import Driver, report_of
from qflow_dagster.generation.repository_gates.protocol import Batch, Result
from qflow_dagster.generation.validation import Gate
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.settings import settings

NAME = "behaviour"
MAX_NAMED = 5
# Characters of a result that a person reads, and of these before the first that differs.
MAX_SHOWN, MAX_SAME = 300, 60


class Support(NamedTuple):
    """How functions of some languages are found, and called: the driver takes what is found."""

    languages: tuple[str, ...]
    plan: Callable[[None, list[InputTask]], tuple[int, list[CallPlan]]]
    driver: Driver


SUPPORTED = (
    Support(("python",), plan_batch, Driver(("python3", "-B"), "behaviour_driver.py", "python")),
    Support(
        ("javascript", "typescript", "tsx"), plan_scripts, Driver(("node",), "behaviour_driver.cjs", "node")
    ),
)


class _Changed(NamedTuple):
    """A function that a candidate changes: its path, and how to call it."""

    path: str
    function: CallPlan


_Compared = tuple[_Changed, Mapping[str, Any]]


def check(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Result]:
    """Compare every changed function before and after each candidate, in the sandbox."""
    seconds = settings().generation.behaviour_seconds
    if seconds == 0:
        return _skipped(candidates, "QFLOW_GENERATION_BEHAVIOUR_SECONDS is 0")
    started = time.monotonic()
    compared: dict[UUID, list[_Compared]] = {candidate.id: [] for candidate in candidates}
    same = [candidate for candidate in candidates if not candidate.request.rule.differs]
    for support in SUPPORTED:
        for id_, functions in _compared_functions(batch, support, same, seconds).items():
            compared[id_] += functions
    # What one run costs is shared by the candidates of the batch.
    each = (time.monotonic() - started) / max(1, len(candidates))
    results = {}
    for candidate in candidates:
        differs = candidate.request.rule.differs
        if differs:
            reason = f"the fix of a bug, which changes behaviour on purpose: {differs}"
            results[candidate.id] = Result(Gate(NAME, "not applicable", reason, each))
            continue
        if not compared[candidate.id]:
            evidence = "only functions of Python and JavaScript are compared"
            results[candidate.id] = Result(Gate(NAME, "not applicable", evidence, each))
            continue
        results[candidate.id] = _verdict(compared[candidate.id], each)
    return results


def _compared_functions(
    batch: Batch, support: Support, candidates: Sequence[Candidate], seconds: float
) -> dict[UUID, list[_Compared]]:
    """Return the changed functions of some languages by candidate, each with its outcome."""
    changed = _changed_functions(support, candidates)
    to_call = [c for c in candidates if any(item.function.inputs for item in changed[c.id])]
    outcomes: Mapping[UUID, list[dict[str, Any]]] = {}
    problem = ""
    if to_call:
        try:
            outcomes = _called(batch, support, to_call, changed, seconds)
        except sandbox.NotIsolatedError as error:
            problem = str(error)
        else:
            problem = "" if outcomes else f"needs {support.driver.command[0]}, or its program was ended"
    compared: dict[UUID, list[_Compared]] = {}
    for id_, functions in changed.items():
        reported = iter(outcomes.get(id_, []))
        compared[id_] = [
            (
                item,
                next(reported, {"reason": problem})
                if item.function.inputs
                else {"reason": item.function.reason},
            )
            for item in functions
        ]
    return compared


def _changed_functions(support: Support, candidates: Sequence[Candidate]) -> dict[UUID, list[_Changed]]:
    tasks: list[InputTask] = []
    owners: list[tuple[UUID, str]] = []
    changed: dict[UUID, list[_Changed]] = {candidate.id: [] for candidate in candidates}
    for candidate in candidates:
        for file in candidate.files:
            lines = tuple(fix.line for fix in file.result.fixes) or tuple(
                line for line, _ in file.request.findings
            )
            if file.request.language not in support.languages or not lines:
                continue
            if file.request.embedded is not None:
                plan = CallPlan("", "", lines, (), "code within another file is not loaded by itself")
                changed[candidate.id].append(_Changed(file.request.path, plan))
            else:
                tasks.append(InputTask(len(tasks), file.request.text, file.request.language, lines))
                owners.append((candidate.id, file.request.path))
    batches = [[task] for task in tasks]
    for position, functions in in_processes(
        support.plan,
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
    batch: Batch,
    support: Support,
    candidates: Sequence[Candidate],
    changed: Mapping[UUID, list[_Changed]],
    seconds: float,
) -> dict[UUID, list[dict[str, Any]]]:
    """Return the outcome of each function with inputs, by candidate; empty if the driver did not report."""
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
    outcomes = report_of(batch, support.driver, jobs, sum(job["seconds"] for job in jobs) + 30)
    if not isinstance(outcomes, list):
        return {}
    return {candidate.id: outcome for candidate, outcome in zip(candidates, outcomes, strict=False)}


def _shown(arguments: str, before: str, after: str) -> str:
    """Return both results, of long ones what differs and a little before it."""
    differs = next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    at = max(0, differs - MAX_SAME) if max(len(before), len(after)) > MAX_SHOWN else 0
    after, before = (
        f"{'…' if at else ''}{text[at : at + MAX_SHOWN]}{'…' if len(text) > at + MAX_SHOWN else ''}"
        for text in (after, before)
    )
    return f"{arguments[:MAX_SHOWN]}: {after}; before: {before}"


def _verdict(compared: Sequence[_Compared], seconds: float) -> Result:
    different = [(item, outcome["different"]) for item, outcome in compared if outcome.get("different")]
    if different:
        said = [(item, f"{item.function.name}{_shown(*outcome)}") for item, outcome in different]
        blamed = {(item.path, line): f"{NAME}: {text}" for item, text in said for line in item.function.lines}
        return Result(Gate(NAME, "failed", said[0][1], seconds), blamed)
    parts: list[str] = []
    reasons: list[str] = []
    for item, outcome in compared:
        inputs = outcome.get("compared", 0)
        if inputs and inputs > outcome["raised"]:
            parts.append(f"{item.function.name}: {inputs} inputs, as before")
        else:
            reason = (
                f"all {inputs} inputs raise an exception" if inputs else outcome.get("reason") or "no report"
            )
            reasons.append(f"{item.function.name or item.path}: not compared: {reason}")
    parts += reasons
    evidence = "; ".join(parts[:MAX_NAMED]) + (
        f"; {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    )
    verdict = "skipped" if reasons else "passed"
    return Result(Gate(NAME, verdict, evidence, seconds))


def _skipped(candidates: Sequence[Candidate], reason: str) -> dict[UUID, Result]:
    return {candidate.id: Result(Gate(NAME, "skipped", reason, 0.0)) for candidate in candidates}
