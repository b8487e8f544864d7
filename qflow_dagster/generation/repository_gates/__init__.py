"""Gates that look at more than the changed file: the repository's own tools, on a checkout with the change.

Belongs here: their order, and leaving out the locations that a gate blames. Each gate lies in a module of its own
and looks at all candidates of a batch at once, so that a slow tool runs once per batch. Does not belong here:
gates that read the changed file alone (`validation`), the repository's tests (`suite_gate`).
"""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import patches
from qflow_dagster.generation.candidates import Candidate, FileChange, WithheldLocation, merged_gates
from qflow_dagster.generation.generators.protocol import Proposal
from qflow_dagster.generation.proposing import run_gates
from qflow_dagster.generation.repository_gates import (
    behaviour,
    compiles,
    formatting,
    module_imports,
    project_linter,
    recorded_tests,
    type_errors,
)
from qflow_dagster.generation.repository_gates.protocol import Batch, Result
from qflow_dagster.generation.workers import GateTask

RepositoryGate = Callable[[Batch, Sequence[Candidate]], Mapping[UUID, Result]]
# In this order: all others look at the formatted text. A gate returns a result for each candidate it is called with.
GATES: dict[str, RepositoryGate] = {
    formatting.NAME: formatting.check,
    compiles.NAME: compiles.check,
    type_errors.NAME: type_errors.check,
    module_imports.NAME: module_imports.check,
    behaviour.NAME: behaviour.check,
    project_linter.NAME: project_linter.check,
    recorded_tests.NAME: recorded_tests.check,
}

MAX_ROUNDS = 3


def run(batch: Batch, candidates: Sequence[Candidate], rules: Sequence[Rule]) -> None:
    """Run every gate on the candidates that no gate has failed so far.

    A candidate of which a gate blames some locations goes on without them, through that gate again: a compiler
    that has nothing more to say of one location may have of another.
    """
    with batch.lock:
        for name, gate in GATES.items():
            _run_gate(batch, name, gate, [candidate for candidate in candidates if candidate.viable], rules)


def _run_gate(
    batch: Batch, name: str, gate: RepositoryGate, candidates: Sequence[Candidate], rules: Sequence[Rule]
) -> None:
    results: dict[UUID, Result] = {}
    current = candidates
    for _ in range(MAX_ROUNDS):
        if not current:
            break
        results |= gate(batch, current)
        again: list[Candidate] = []
        for candidate in current:
            blamed = results[candidate.id].blamed
            if blamed and leave_out(batch, candidate, blamed, rules):
                if name != formatting.NAME:
                    _format_again(batch, candidate)
                again += [candidate] if candidate.viable else []
            else:
                candidate.withheld += _withheld(candidate, blamed)
        current = again
    for candidate in candidates:
        candidate.gates.append(results[candidate.id].gate)


def leave_out(
    batch: Batch, candidate: Candidate, blamed: Mapping[tuple[str, int], str], rules: Sequence[Rule]
) -> bool:
    """Leave locations (path, line) out of a candidate, each for a reason, and run the file gates on what is left.

    Return false, and change nothing, if nothing is left that passes them.
    """
    tasks: list[tuple[FileChange, GateTask]] = []
    kept: list[FileChange] = []
    for file in candidate.files:
        path = file.request.path
        fixes = tuple(fix for fix in file.result.fixes if (path, fix.line) not in blamed)
        if len(fixes) == len(file.result.fixes):
            kept.append(file)
        elif fixes:
            text, _ = matchers.apply_changes(file.request.text, [fix.edits for fix in fixes])
            proposal = Proposal(contents={path: text}, fixes=fixes)
            tasks.append((file, GateTask(len(tasks), file.request, proposal)))
    for (file, _), result in zip(tasks, run_gates([task for _, task in tasks], rules), strict=True):
        if result.passed:
            kept.append(file._replace(result=result))
    if not kept:
        return False
    order = {file.work_item_id: number for number, file in enumerate(candidate.files)}
    candidate.files = sorted(kept, key=lambda file: order[file.work_item_id])
    candidate.patch = patches.make(
        batch.objects, candidate.base, {path: text.encode() for path, text in candidate.after.items()}
    )
    later = [gate for gate in candidate.gates if gate.name == "applies" or gate.name in GATES]
    candidate.gates = [later[0], *merged_gates(candidate.files), *later[1:]]
    candidate.withheld += _withheld(candidate, blamed)
    return True


def _format_again(batch: Batch, candidate: Candidate) -> None:
    """Format what is left of a candidate, which is made of edits of the text as it was."""
    result = formatting.check(batch, [candidate])[candidate.id].gate
    candidate.gates = [result if gate.name == formatting.NAME else gate for gate in candidate.gates]


def _withheld(candidate: Candidate, blamed: Mapping[tuple[str, int], str]) -> list[WithheldLocation]:
    rule_id = candidate.request.rule.id
    return [WithheldLocation(rule_id, path, line, reason) for (path, line), reason in blamed.items()]
