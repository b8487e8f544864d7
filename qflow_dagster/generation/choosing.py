"""The choice among the candidates of each group, and of the locations that pass the repository's tests.

Belongs here: the order of candidates, and which locations of a change break the tests. Does not belong here: how
the tests run (`suite_gate`).
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import candidate_records, repository_gates, suite_gate
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates import Batch
from qflow_dagster.generation.validation import Gate
from qflow_dagster.progress import ReportProgress

# The tests run once for each location of a change that breaks them; of a change with more, none is offered.
MAX_TRIED_LOCATIONS = 8


def best_of(
    batch: Batch, candidates: Sequence[Sequence[Candidate]], rules: Sequence[Rule], report: ReportProgress
) -> dict[int, Candidate]:
    """Return the best candidate of each group that also passes the tests: by expected acceptance, then by size."""
    viable: dict[int, list[Candidate]] = {}
    for number, group in enumerate(candidates):
        for candidate in group:
            candidate.status = "not_needed" if candidate.viable else "failed"
            if candidate.viable:
                viable.setdefault(number, []).append(candidate)
    suite = suite_gate.Suite(batch.engine, batch.objects, batch.snapshot, batch.environments)
    done = 0
    report("testing changes", 0, len(viable))

    def first_that_passes(candidates_of_group: list[Candidate]) -> Candidate | None:
        for candidate in sorted(candidates_of_group, key=lambda c: (-c.score, c.patch.lines)):
            gate = _stored_tests(batch.engine, candidate) or suite.check(candidate.patch)
            if gate.verdict == "failed":
                gate = _without_what_breaks(batch, suite, candidate, rules) or gate
            candidate.gates.append(gate)
            if candidate.viable:
                candidate.status = "passed"
                return candidate
            candidate.status = "failed"
        return None

    best: dict[int, Candidate] = {}
    # Each has a checkout and processes of its own; two at a time keep the machine usable.
    with ThreadPoolExecutor(max_workers=2) as threads:
        for number, chosen in zip(viable, threads.map(first_that_passes, viable.values()), strict=True):
            if chosen is not None:
                best[number] = chosen
            done += 1
            report("testing changes", done, len(viable))
    return best


def _stored_tests(engine: Engine, candidate: Candidate) -> Gate | None:
    """Return the stored result of the tests for the same patch on the same commit, if they have run."""
    with engine.connect() as connection:
        gates = candidate_records.stored_gates(connection, candidate)
    ran = [gate for gate in gates if gate.name == suite_gate.NAME and gate.verdict != "skipped"]
    return ran[0] if ran else None


def _without_what_breaks(
    batch: Batch, suite: suite_gate.Suite, candidate: Candidate, rules: Sequence[Rule]
) -> Gate | None:
    """Leave the locations out of a candidate with which alone the tests fail; return the gate of what is left.

    Return None, and change nothing, where that does not make it pass.
    """
    locations = {(location["path"], location["line"]) for location in candidate.locations}
    if not 1 < len(locations) <= MAX_TRIED_LOCATIONS:
        return None
    breaking: dict[tuple[str, int], str] = {}
    for location in sorted(locations):
        alone = dataclasses.replace(candidate, withheld=[])
        if repository_gates.leave_out(batch, alone, dict.fromkeys(locations - {location}, ""), rules):
            gate = suite.check(alone.patch)
            if gate.verdict == "failed":
                breaking[location] = f"with it alone, {gate.evidence}"
    smaller = dataclasses.replace(candidate, withheld=list(candidate.withheld))
    if not breaking or not repository_gates.leave_out(batch, smaller, breaking, rules):
        return None
    smaller.gates = [gate for gate in smaller.gates if gate.name not in repository_gates.GATES]
    repository_gates.run(batch, [smaller], rules)
    gate = suite.check(smaller.patch)
    if not smaller.viable or gate.verdict == "failed":
        return None
    candidate.files, candidate.patch = smaller.files, smaller.patch
    candidate.gates, candidate.withheld = smaller.gates, smaller.withheld
    return gate
