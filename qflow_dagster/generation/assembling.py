"""Assemble candidates: the changed files of one generator, for one rule in one package, become one patch.

Belongs here: which files fit into one change, equal patches of several generators, what is left out and why. Does
not belong here: the gates (`validation`), choosing among candidates (`orchestrator`).
"""

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import patches
from qflow_dagster.generation.candidates import Candidate, FileChange, WithheldLocation, merged_gates
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.validation import Gate
from qflow_dagster.generation.workers import Attempt
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.safety import logs

logger = logs.logger(__name__)


class Limits(NamedTuple):
    """How large a change may be: files, and lines added and deleted."""

    files: int
    lines: int


NO_LIMITS = Limits(1_000_000, 1_000_000_000)


class Slot(NamedTuple):
    """A work item and the request for its file."""

    work_item_id: UUID
    request: Request


class Validated(NamedTuple):
    """A proposal that went through the file gates: the generator, the proposal's number, and the change."""

    generator: str
    number: int
    change: FileChange


def assemble(
    objects: Path,
    snapshot: Snapshot,
    validated: Sequence[Validated],
    estimates: Callable[[str, str, float], float],
    limits_of: Callable[[Rule], Limits],
) -> tuple[list[Candidate], dict[UUID, str]]:
    """Return the candidates of one group: one per generator, equal patches as one candidate with all sources.

    A candidate has the files that passed their gates; where none did, those that failed, so that it is on record.
    Also returns why no patch could be made for work items, such as an object that is missing from the repository.
    """
    problems: dict[UUID, str] = {}
    by_proposal: dict[tuple[str, int], list[FileChange]] = {}
    for generator, number, change in validated:
        by_proposal.setdefault((generator, number), []).append(change)
    by_digest: dict[bytes, Candidate] = {}
    for (generator, _), changes in by_proposal.items():
        rule = changes[0].request.rule
        passed = [change for change in changes if change.result.passed]
        files = _within(limits_of(rule), passed) if passed else changes
        try:
            contents = {
                file.request.path: file.request.file_with(file.result.after).encode() for file in files
            }
            patch = patches.make(objects, changes[0].request.base, contents)
        except QflowError as error:
            logger.info("%s on %s: %s", generator, changes[0].request.path, error)
            problems |= {change.work_item_id: str(error) for change in files}
            continue
        estimate = estimates(rule.id, generator, rule.confidence)
        existing = by_digest.get(patch.digest)
        if existing is not None:
            existing.sources.append(generator)
            existing.score = max(existing.score, estimate)
            # A change whose locations are known can be taken in part.
            existing.files = existing.files if existing.locations else files
            continue
        applies = Gate("applies", "passed", "made from the commit", 0.0)
        by_digest[patch.digest] = Candidate(
            snapshot.repository_id,
            snapshot.repository,
            changes[0].request.base,
            patch,
            files,
            [generator],
            estimate,
            [applies, *merged_gates(files)],
        )
    return list(by_digest.values()), problems


def withheld_locations(
    attempts: Sequence[Attempt],
    validated: Sequence[Validated],
    candidates: Sequence[Candidate],
    best: Candidate | None,
) -> list[WithheldLocation]:
    """Return the locations of a group that the best candidate does not change, with the last reason given."""
    changed = set() if best is None else {(row["path"], row["line"]) for row in best.locations}
    given = [(attempt.call.request, attempt.withheld) for attempt in attempts]
    given += [(change.request, change.result.withheld) for _, _, change in validated]
    reasons = {
        (request.path, withheld.line): (request.rule.id, withheld.reason)
        for request, all_withheld in given
        for withheld in all_withheld
        if (request.path, withheld.line) not in changed
    }
    reasons |= {
        (location.path, location.line): (location.rule_id, location.reason)
        for candidate in candidates
        for location in candidate.withheld
        if (location.path, location.line) not in changed
    }
    return [
        WithheldLocation(rule_id, path, line, reason)
        for (path, line), (rule_id, reason) in sorted(reasons.items())
    ]


def _within(limits: Limits, changes: Sequence[FileChange]) -> list[FileChange]:
    """Return the first changes that fit the limits together; at least the first, which its agent then refuses."""
    chosen = list(changes[:1])
    lines = _changed_lines(changes[0])
    for change in changes[1:]:
        lines += _changed_lines(change)
        if len(chosen) == limits.files or lines > limits.lines:
            break
        chosen.append(change)
    return chosen


def _changed_lines(change: FileChange) -> int:
    before, after = (text.splitlines() for text in (change.request.text, change.result.after))
    opcodes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum((i2 - i1) + (j2 - j1) for tag, i1, i2, j1, j2 in opcodes if tag != "equal")
