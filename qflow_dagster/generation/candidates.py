"""A candidate: a proposed patch on its way through the gates, of one or more files. `candidate_records` stores it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.patches import Patch
from qflow_dagster.generation.validation import FileResult, Gate, Verdict
from qflow_dagster.quantumflow import uuid7

MAX_NAMED_FILES = 5
_SEVERITY: tuple[Verdict, ...] = ("failed", "skipped", "passed", "not applicable")


class WithheldLocation(NamedTuple):
    """A location for which no change is proposed, and the reason."""

    rule_id: str
    path: str
    line: int
    reason: str


class FileChange(NamedTuple):
    """The change of one file: the work item that called for it, the request, and the fixes that passed its gates."""

    work_item_id: UUID
    request: Request
    result: FileResult


@dataclass
class Candidate:
    """A proposed patch: the changed files, the generators that proposed it, its gate results and rank.

    All files are of one rule; the first belongs to the work item with the highest score.
    """

    repository_id: int
    repository: str
    base: str
    patch: Patch
    files: list[FileChange]
    sources: list[str]
    score: float = 0.0
    gates: list[Gate] = field(default_factory=list)
    status: str = "not_needed"
    # Locations that a gate blamed, and that were left out.
    withheld: list[WithheldLocation] = field(default_factory=list)
    id: UUID = field(default_factory=uuid7)

    @property
    def request(self) -> Request:
        """The request of the first file."""
        return self.files[0].request

    @property
    def work_items(self) -> list[UUID]:
        """The work items that the change serves, the one with the highest score first."""
        return [file.work_item_id for file in self.files]

    @property
    def after(self) -> dict[str, str]:
        """The content of the changed files by path."""
        return {file.request.path: file.request.file_with(file.result.after) for file in self.files}

    @property
    def locations(self) -> list[dict[str, Any]]:
        """The changed locations: path, first and last line, and edits (start, end, text)."""
        return [
            {
                "path": file.request.path,
                "line": fix.line,
                "end_line": fix.end_line,
                "edits": [list(edit) for edit in fix.edits],
            }
            for file in self.files
            for fix in file.result.fixes
        ]

    @property
    def findings(self) -> list[tuple[str, int, str]]:
        """(path, line, message) of the findings at the changed locations."""
        found = []
        for file in self.files:
            lines = {fix.line for fix in file.result.fixes}
            found += [
                (file.request.path, line, message)
                for line, message in file.request.findings
                if not lines or line in lines
            ]
        return found

    @property
    def viable(self) -> bool:
        """Return whether no gate has failed so far."""
        return all(gate.verdict != "failed" for gate in self.gates)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a gate over several files: failed or skipped if it was for one, else passed.

    Not applicable only if it is for all.
    """
    return min(verdicts, key=_SEVERITY.index)


def merged_gates(files: Sequence[FileChange]) -> list[Gate]:
    """Return each gate's result over all files: failed if it failed for one, passed only if it passed for all."""
    by_name: dict[str, list[tuple[str, Gate]]] = {}
    for file in files:
        for gate in file.result.gates:
            by_name.setdefault(gate.name, []).append((file.request.path, gate))
    merged = []
    for name, results in by_name.items():
        verdict = worst(gate.verdict for _, gate in results)
        deciding = [(path, gate) for path, gate in results if gate.verdict == verdict]
        evidence = (
            deciding[0][1].evidence
            if len(results) == 1
            else "; ".join(f"{path}: {gate.evidence}" for path, gate in deciding[:MAX_NAMED_FILES])
        )
        if len(deciding) > MAX_NAMED_FILES:
            evidence += f"; {len(deciding) - MAX_NAMED_FILES} more files"
        merged.append(Gate(name, verdict, evidence, sum(gate.seconds for _, gate in results)))
    return merged
